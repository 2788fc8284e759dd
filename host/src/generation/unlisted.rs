//! Models that no configuration names, of providers that allow any: what was seen of those that were asked for lately.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{ANY_MODEL, Generation, Model, Provider, Route, Seen};
use crate::config::{ModelConfig, RouteConfig};

/// So many are known of each provider; clients choose the names.
const MOST: usize = 256;

/// What was seen of one provider's, by their names in requests. Kept over reloads.
#[derive(Debug, Default)]
pub struct Unlisted(Mutex<Names>);

#[derive(Debug, Default)]
struct Names {
    /// With when each was asked for.
    seen: HashMap<String, (Seen, u64)>,
    asks: u64,
}

impl Unlisted {
    /// What was seen of one, under so many credentials. It takes the place of whichever was not asked for for longest.
    fn of(&self, name: &str, credentials: usize) -> Seen {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.asks += 1;
        let now = names.asks;
        if let Some((seen, asked)) = names.seen.get_mut(name) {
            *asked = now;
            return seen.clone();
        }
        if names.seen.len() >= MOST {
            let oldest = names.seen.iter().min_by_key(|(_, (_, asked))| *asked);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                names.seen.remove(&oldest);
            }
        }
        let seen = Seen {
            lanes: (0..credentials).map(|_| Arc::default()).collect(),
            ..Seen::default()
        };
        names.seen.insert(name.to_owned(), (seen.clone(), now));
        seen
    }

    /// Those that are known, by name.
    fn all(&self) -> Vec<(String, Seen)> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = names.seen.iter().map(|(name, (seen, _))| (name.clone(), seen.clone()));
        let mut all: Vec<(String, Seen)> = all.collect();
        drop(names);
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        all
    }
}

impl Generation {
    /// A route to a model that no configuration names, where its provider allows any.
    pub(super) fn unlisted(&self, name: &str) -> Option<Arc<Route>> {
        let (provider, upstream) = name.split_once('/')?;
        let provider = self
            .providers
            .get(provider)
            .filter(|provider| provider.allow_any_model && !upstream.is_empty())?;
        let seen = provider.unlisted.of(name, provider.credentials.count());
        let model = self.unlisted_model(provider, name, upstream, seen)?;
        Some(Arc::new(Route {
            name: name.to_owned(),
            label: ANY_MODEL.to_owned(),
            config: RouteConfig::direct(name),
            candidates: vec![(Arc::new(model), 1)],
            policies: Vec::new(),
            served: self.meter.good_requests(ANY_MODEL),
            budgets: Vec::new(),
            counted_as: ANY_MODEL.into(),
            reference: None,
        }))
    }

    /// The models that no configuration names and that were asked for lately.
    pub fn unlisted_models(&self) -> Vec<Model> {
        let providers = self.providers.values().filter(|provider| provider.allow_any_model);
        let known = providers.flat_map(|provider| {
            let model = move |(name, seen): (String, Seen)| {
                let (_, upstream) = name.split_once('/')?;
                self.unlisted_model(provider, &name, upstream, seen)
            };
            provider.unlisted.all().into_iter().filter_map(model)
        });
        known.collect()
    }

    fn unlisted_model(&self, provider: &Arc<Provider>, id: &str, upstream: &str, seen: Seen) -> Option<Model> {
        let at = self.config.providers.get(&provider.name)?.catalog.as_deref();
        let known = at.and_then(|at| self.config.catalog.find(at, upstream));
        let config = ModelConfig::new(provider.name.clone(), upstream.to_owned(), known.unwrap_or_default());
        // Free names are not metric labels: clients choose them.
        Some(Model {
            id: id.to_owned(),
            counted_as: id.into(),
            ..Model::new(ANY_MODEL, &config, provider.clone(), seen, &self.meter)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_more_names_than_are_kept_the_one_that_was_asked_for_longest_ago_goes() {
        let unlisted = Unlisted::default();
        let first = unlisted.of("first", 2);
        assert_eq!(first.lanes.len(), 2);
        for name in 1..MOST {
            unlisted.of(&name.to_string(), 1);
        }
        let again = unlisted.of("first", 2);
        assert!(Arc::ptr_eq(&first.health, &again.health) && Arc::ptr_eq(&first.lanes[1], &again.lanes[1]));
        unlisted.of("one more", 1);
        let all = unlisted.all();
        let has = |name: &str| all.iter().any(|(known, _)| known == name);
        assert!(all.len() == MOST && has("first") && has("one more") && !has("1"));
    }
}
