//! All measurements of a run and the medians over their repeats.

use serde::Serialize;

use crate::contender::Contender;
use crate::machine::Machine;
use crate::measure::{Effort, Measurement, Sample};
use crate::scenario::Scenario;

/// Everything that a run found; written as JSON beside the report.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    /// What it was measured on.
    pub machine: Machine,
    /// How long and how often.
    pub effort: Effort,
    /// In the order in which they were made.
    pub measurements: Vec<Measurement>,
}

/// One figure of a sample.
pub(crate) type Figure = fn(&Sample) -> Option<f64>;

impl Results {
    /// The median of a figure over the repeats; of two in the middle, their mean.
    pub(crate) fn median(&self, scenario: Scenario, contender: Contender, figure: Figure) -> Option<f64> {
        let values = self.sorted(scenario, contender, figure);
        let upper = *values.get(values.len() / 2)?;
        let lower = *values.get((values.len() - 1) / 2)?;
        Some(f64::midpoint(lower, upper))
    }

    /// The lowest and the highest value of a figure over the repeats.
    pub(crate) fn range(&self, scenario: Scenario, contender: Contender, figure: Figure) -> Option<(f64, f64)> {
        let values = self.sorted(scenario, contender, figure);
        Some((*values.first()?, *values.last()?))
    }

    /// The samples of one contender, in all scenarios.
    pub(crate) fn samples(&self, contender: Contender) -> impl Iterator<Item = (Scenario, &Sample)> {
        let of_contender = self
            .measurements
            .iter()
            .filter(move |measurement| measurement.contender == contender);
        of_contender.map(|measurement| (measurement.scenario, &measurement.sample))
    }

    /// Whether anything was measured in a scenario.
    pub(crate) fn covers(&self, scenario: Scenario) -> bool {
        self.measurements
            .iter()
            .any(|measurement| measurement.scenario == scenario)
    }

    fn sorted(&self, scenario: Scenario, contender: Contender, figure: Figure) -> Vec<f64> {
        let samples = self.samples(contender).filter(|(of, _)| *of == scenario);
        let mut values: Vec<f64> = samples.filter_map(|(_, sample)| figure(sample)).collect();
        values.sort_by(f64::total_cmp);
        values
    }
}
