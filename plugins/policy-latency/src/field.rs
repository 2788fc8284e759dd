//! The candidates as runners: how fast each is, which are fast enough, and the ladder that follows.

use pointsman_plugin::{Candidate, Request, draw::Draw, standing::Standing};

use crate::config::{Config, Measure, OverTarget, Pick};
use crate::time;

/// All candidates of one decision, in the order in which they came.
pub(crate) struct Field<'a> {
    runners: Vec<Runner<'a>>,
    measured: &'static str,
    fastest: Option<u32>,
}

#[derive(Clone, Copy)]
struct Runner<'a> {
    /// Its place among those that were offered.
    place: usize,
    candidate: &'a Candidate,
    time: Option<u32>,
    standing: Standing,
    class: Class,
}

/// Where a runner stands on the ladder, from above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// Meets the target, and is near the fastest.
    Leading,
    /// Meets the target.
    Fast,
    /// Misses the target.
    Slow,
    /// Nothing is known of it.
    Unmeasured,
    /// Its health speaks against it.
    Unwell,
}

/// Why the first of the ladder is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lead {
    /// It is fast enough.
    Fast,
    /// Nobody is known to be fast enough, and it is the fastest.
    Slow,
    /// It has never been measured, and this request is one of the share that measures.
    Explore,
    /// It was too slow or unwell, and this request is one of the share that measures again.
    Remeasure,
    /// Nobody who is well has been measured.
    Unmeasured,
    /// Nobody is well.
    Unwell,
}

impl<'a> Field<'a> {
    pub(crate) fn of(config: &Config, request: &Request, candidates: &'a [Candidate]) -> Self {
        let mut runners: Vec<Runner<'a>> = candidates
            .iter()
            .enumerate()
            .map(|(place, candidate)| Runner {
                place,
                candidate,
                time: time(request, candidate, config.measure),
                standing: candidate.standing(request, config.max_error_percent),
                class: Class::Unwell,
            })
            .collect();
        let well = runners.iter().filter(|runner| runner.standing == Standing::Well);
        let fastest = well.filter_map(|runner| runner.time).min();
        let near = near(config, fastest.unwrap_or_default());
        for runner in runners.iter_mut().filter(|runner| runner.standing == Standing::Well) {
            runner.class = match runner.time {
                None => Class::Unmeasured,
                Some(time) if config.target_ms.is_some_and(|target| time > target) => Class::Slow,
                Some(time) if u64::from(time) > near => Class::Fast,
                Some(_) => Class::Leading,
            };
        }
        let by_first_token =
            config.measure == Measure::FirstToken || (config.measure == Measure::Auto && request.is_stream);
        Field {
            runners,
            measured: if by_first_token { "first token" } else { "whole answer" },
            fastest,
        }
    }

    /// The ladder, and why its first is the first.
    pub(crate) fn ladder(&self, config: &Config, draw: &mut Draw) -> (Vec<&'a Candidate>, Lead) {
        let mut ladder = self.runners.clone();
        // What is not measured keeps its order; times order the rest, those that are known before those that are not.
        ladder.sort_by_key(|runner| (runner.class, runner.standing, runner.time.unwrap_or(u32::MAX)));
        let leading = ladder
            .iter()
            .take_while(|runner| runner.class == Class::Leading)
            .count();
        Self::pick(config.pick(), &mut ladder[..leading], draw);
        let left = self.leave(config, ladder);
        let chosen = self.measures(config, draw);
        let mut candidates: Vec<&Candidate> = left.iter().map(|runner| runner.candidate).collect();
        if let Some((runner, lead)) = chosen {
            candidates.retain(|candidate| candidate.id != runner.candidate.id);
            candidates.insert(0, runner.candidate);
            return (candidates, lead);
        }
        let lead = match left.first().map(|runner| runner.class) {
            Some(Class::Leading | Class::Fast) => Lead::Fast,
            Some(Class::Slow) => Lead::Slow,
            Some(Class::Unmeasured) => Lead::Unmeasured,
            Some(Class::Unwell) | None => Lead::Unwell,
        };
        (candidates, lead)
    }

    /// Puts the one that leads first; the others of the group stay by their times.
    fn pick(pick: Pick, group: &mut [Runner<'a>], draw: &mut Draw) {
        match pick {
            Pick::Fastest => {}
            Pick::Order => group.sort_by_key(|runner| runner.place),
            Pick::Price => group.sort_by_key(|runner| runner.candidate.estimated_cost.unwrap_or(u64::MAX)),
            Pick::Random | Pick::Weight => {
                let weight = |runner: &Runner<'_>| match pick {
                    Pick::Weight => u64::from(runner.candidate.weight),
                    _ => 1,
                };
                if let Some(drawn) = draw.weighted(group.iter().map(weight)) {
                    group[..=drawn].rotate_right(1);
                }
            }
        }
    }

    /// Without those that are over the target where they are to leave. Where nobody who is well would be left, the fastest of
    /// those that are stays, before all others.
    fn leave(&self, config: &Config, mut ladder: Vec<Runner<'a>>) -> Vec<Runner<'a>> {
        let (OverTarget::Out, Some(target)) = (config.over_target, config.target_ms) else {
            return ladder;
        };
        let first = ladder.first().copied();
        ladder.retain(|runner| runner.time.is_none_or(|time| time <= target));
        let is_anybody_well = ladder.iter().any(|runner| runner.class != Class::Unwell);
        // They stand by their class, so the first is the fastest of those that are well, if anybody is.
        let stays = first.filter(|first| !is_anybody_well && (first.class == Class::Slow || ladder.is_empty()));
        stays.into_iter().chain(ladder).collect()
    }

    /// Who is measured by this request instead of being served by the best, if anybody.
    fn measures(&self, config: &Config, draw: &mut Draw) -> Option<(Runner<'a>, Lead)> {
        let is_new = |runner: &&Runner<'_>| runner.class == Class::Unmeasured;
        // Where nothing is known of anybody who is well, the first one leads and is measured by that.
        self.fastest?;
        let new: Vec<_> = self.runners.iter().filter(is_new).collect();
        if !new.is_empty() && draw.happens(config.explore_percent.per_million()) {
            let index = draw.below(new.len() as u64) as usize;
            return Some((*new[index], Lead::Explore));
        }
        let old = |runner: &&Runner<'_>| {
            let could_lead = matches!(runner.class, Class::Leading | Class::Unmeasured);
            !could_lead && runner.standing != Standing::Cooling
        };
        let old: Vec<_> = self.runners.iter().filter(old).collect();
        if old.is_empty() || !draw.happens(config.remeasure_percent.per_million()) {
            return None;
        }
        let index = draw.below(old.len() as u64) as usize;
        Some((*old[index], Lead::Remeasure))
    }

    /// Why the first is the first, for people.
    pub(crate) fn reason(&self, config: &Config, ladder: &[&Candidate], lead: Lead) -> String {
        let Some(first) = ladder.first() else {
            return "there is no candidate".into();
        };
        let id = &first.id;
        let own = self.runners.iter().find(|runner| runner.candidate.id == *id);
        let own = own.and_then(|runner| runner.time);
        let shown = |time: Option<u32>| time.map_or("unknown".into(), |time| format!("{time} ms"));
        let leading = self.runners.iter().filter(|runner| runner.class == Class::Leading);
        let what = self.measured;
        match (lead, config.target_ms, config.within_percent) {
            (Lead::Fast, Some(target), None) => {
                format!("{what} {}, {} within {target} ms", shown(own), leading.count())
            }
            (Lead::Fast, _, Some(percent)) => format!(
                "{what} {}, {} within {percent} % of the fastest",
                shown(own),
                leading.count()
            ),
            (Lead::Fast, None, None) => format!("{what} {}, the fastest", shown(own)),
            (Lead::Slow, ..) => format!("{what} {}, nobody is within the target", shown(own)),
            (Lead::Explore, ..) => format!("{what} unknown, {id} is measured"),
            (Lead::Remeasure, ..) => format!("{what} {}, {id} is measured again", shown(own)),
            (Lead::Unmeasured, ..) => format!("{what} of nobody is known"),
            (Lead::Unwell, ..) => "nobody is well".into(),
        }
    }
}

/// The longest time that still counts as near the fastest, in milliseconds.
fn near(config: &Config, fastest: u32) -> u64 {
    match (config.within_percent, config.target_ms) {
        (Some(percent), _) => u64::from(fastest).saturating_mul(100 + u64::from(percent)) / 100,
        (None, Some(_)) => u64::MAX,
        (None, None) => u64::from(fastest),
    }
}
