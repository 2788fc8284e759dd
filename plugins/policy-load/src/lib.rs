//! Spreads load over the candidates: by what is under way, by chance, by turns, by what was used or what is left; in tiers,
//! where there are some. What can be configured is in `config.rs`, what is kept between requests in `counts.rs`.

mod config;
mod counts;

use std::cmp::{Ordering, Reverse};

use config::{Config, Pick};
use pointsman_plugin::{
    Candidate, Ended, Observe, Plan, Policy, Request, Verdict, draw::Draw, export_policy, grants, standing::Standing,
};

struct Load(Config);

impl Policy for Load {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        config.check()?;
        if config.pick.needs_state() && !grants::is_given("state") {
            let name = config.pick.name();
            return Err(format!(
                "`pick = \"{name}\"` counts, add grants = [\"state\"] to the policy"
            ));
        }
        Ok(Load(config))
    }

    fn decide(&self, request: &Request, candidates: &[Candidate]) -> Result<Verdict, String> {
        let mut draw = Draw::new(request.seed, "load");
        let mut ladder: Vec<Carrier> = candidates
            .iter()
            .map(|candidate| self.carrier(request, candidate, &mut draw))
            .collect();
        let Some(best) = ladder.iter().map(Carrier::class).min() else {
            return Ok(Verdict::Pass);
        };
        self.order(request, best, &mut ladder, &mut draw);
        let plan = Plan::of(ladder.iter().map(|carrier| carrier.candidate)).reason(self.reason(&ladder));
        Ok(if self.0.tiers.is_empty() {
            plan
        } else {
            plan.label("tier", (ladder[0].tier + 1).to_string())
        }
        .into())
    }
}

impl Observe for Load {
    fn observe(&self, ended: &Ended) {
        if self.0.pick == Pick::LowestUsage {
            counts::count(ended, self.0.usage, self.0.window_s);
        }
    }
}

/// A candidate and how much it carries.
struct Carrier<'a> {
    candidate: &'a Candidate,
    standing: Standing,
    tier: usize,
    used: u64,
    /// Decides between those that are alike.
    lot: u64,
}

/// What comes before any load: how well it is, whether it is to lead at all, its tier.
type Class = (Standing, bool, usize);

impl Carrier<'_> {
    fn class(&self) -> Class {
        (self.standing, self.candidate.weight == 0, self.tier)
    }

    fn weight(&self) -> u64 {
        u64::from(self.candidate.weight.max(1))
    }

    /// Who has less for its weight; `a / x < b / y` where `a · y < b · x`.
    fn compare(&self, other: &Self, amount: impl Fn(&Self) -> u64) -> Ordering {
        let own = u128::from(amount(self)) * u128::from(other.weight());
        own.cmp(&(u128::from(amount(other)) * u128::from(self.weight())))
    }

    /// The attempt that is to come counts as well: among idle ones the heavier leads.
    fn compare_busy(&self, other: &Self) -> Ordering {
        self.compare(other, |carrier| u64::from(carrier.candidate.health.in_flight) + 1)
            .then(self.lot.cmp(&other.lot))
    }
}

impl Load {
    fn carrier<'a>(&self, request: &Request, candidate: &'a Candidate, draw: &mut Draw) -> Carrier<'a> {
        let Config { tiers, window_s, .. } = &self.0;
        let is_full = self
            .0
            .max_in_flight
            .is_some_and(|most| candidate.health.in_flight >= most);
        let own = candidate.standing(request, self.0.max_error_percent);
        let tier = tiers
            .iter()
            .position(|tier| tier.iter().any(|name| candidate.answers_to(name)));
        Carrier {
            candidate,
            standing: if is_full { own.max(Standing::Full) } else { own },
            tier: tier.unwrap_or(tiers.len()),
            used: match self.0.pick {
                Pick::LowestUsage => counts::used(&candidate.id, request.now_ms, *window_s),
                _ => 0,
            },
            lot: draw.number(),
        }
    }

    /// Orders all by their class and their load; chance and turns then choose among those of the best class.
    fn order(&self, request: &Request, best: Class, ladder: &mut [Carrier], draw: &mut Draw) {
        let left = |carrier: &Carrier| {
            let health = &carrier.candidate.health;
            let left = match self.0.pick {
                Pick::MostTokensLeft => health.tokens_left,
                Pick::MostRequestsLeft => health.requests_left.map(u64::from),
                _ => None,
            };
            // What nobody knows is less than anything that is known.
            Reverse(left)
        };
        if self.0.pick == Pick::RoundRobin {
            ladder.sort_by_key(Carrier::class);
        } else {
            ladder.sort_by(|one, other| {
                let by_class = one.class().cmp(&other.class());
                let by_use = || one.compare(other, |carrier| carrier.used);
                by_class
                    .then_with(|| left(one).cmp(&left(other)))
                    .then_with(by_use)
                    .then_with(|| one.compare_busy(other))
            });
        }
        let leading = ladder.iter().take_while(|carrier| carrier.class() == best).count();
        let group = &mut ladder[..leading];
        match self.0.pick {
            Pick::Random => {
                if let Some(drawn) = draw.weighted(group.iter().map(Carrier::weight)) {
                    group[..=drawn].rotate_right(1);
                }
            }
            Pick::PowerOfTwo => {
                // They stand by load already, so the less busy of two is the one further ahead.
                let count = group.len() as u64;
                let one = draw.below(count);
                let other = (one + 1 + draw.below(count - 1)) % count;
                group[..=one.min(other) as usize].rotate_right(1);
            }
            Pick::RoundRobin => {
                let weights: Vec<u64> = group.iter().map(Carrier::weight).collect();
                group.rotate_left(whose(counts::turn(&request.route), &weights));
            }
            _ => {}
        }
    }

    fn reason(&self, ladder: &[Carrier]) -> String {
        let first = &ladder[0];
        let Candidate { id, health, .. } = first.candidate;
        let figure = match self.0.pick {
            Pick::LowestUsage => format!("{} used", first.used),
            Pick::MostTokensLeft => shown(health.tokens_left, "tokens left"),
            Pick::MostRequestsLeft => shown(health.requests_left, "requests left"),
            _ => format!("{} in flight", health.in_flight),
        };
        let mut reason = format!("{} {id}, {figure}", self.0.pick.name());
        if !self.0.tiers.is_empty() {
            reason.push_str(&format!(", tier {}", first.tier + 1));
        }
        reason.push_str(match first.standing {
            Standing::Well => "",
            Standing::Full => "; all are full",
            Standing::Failing | Standing::Cooling => "; nobody is well",
        });
        reason
    }
}

fn shown<T: std::fmt::Display>(left: Option<T>, what: &str) -> String {
    left.map_or(format!("unknown {what}"), |left| format!("{left} {what}"))
}

/// Whose turn it is. In each round everybody has as many turns as its weight, spread by a stride that has no divisor in
/// common with the round's length; those that are alike simply follow each other.
fn whose(turn: u64, weights: &[u64]) -> usize {
    let common = weights.iter().copied().fold(0, divisor).max(1);
    let round: u64 = weights.iter().map(|weight| weight / common).sum();
    if round == 0 {
        return 0;
    }
    let are_alike = round == weights.len() as u64;
    let stride = if are_alike {
        1
    } else {
        // Near the golden section, which spreads best.
        let wish = (round as f64 * 0.618) as u64;
        (wish.max(1)..).find(|stride| divisor(*stride, round) == 1).unwrap_or(1)
    };
    let mut place = (u128::from(turn % round) * u128::from(stride) % u128::from(round)) as u64;
    for (index, weight) in weights.iter().enumerate() {
        match place.checked_sub(weight / common) {
            Some(left) => place = left,
            None => return index,
        }
    }
    0
}

/// The greatest common one.
fn divisor(one: u64, other: u64) -> u64 {
    let (mut one, mut other) = (one, other);
    while other > 0 {
        (one, other) = (other, one % other);
    }
    one
}

export_policy!(Load, outcome);

#[cfg(test)]
mod tests;
