//! From the configuration's rules to what is searched for, and back to the rule that was found.

use std::ops::Range;

use pointsman_plugin::{
    Request,
    action::Action,
    terms::{Matching, Terms},
    when::Condition,
};
use regex_lite::{Regex, RegexBuilder};

use crate::config::{Config, Place, Rule};

/// All rules, ready to be looked for.
pub(crate) struct Rules {
    lenses: Vec<Lens>,
    rules: Vec<Compiled>,
    read_at_most: u32,
}

/// One way of looking at the text, with the words of all rules that look this way.
struct Lens {
    place: Place,
    terms: Terms,
}

/// A lens whose words are still being collected.
struct Draft {
    place: Place,
    matching: Matching,
    words: Vec<String>,
}

/// A rule that knows its words by their places among its lens's.
struct Compiled {
    lens: usize,
    any: Range<usize>,
    all: Range<usize>,
    none: Range<usize>,
    regexes: Vec<Regex>,
    /// Whether any of the four above has something; a rule without is not worth reading the text for.
    reads_text: bool,
    when: Vec<Condition>,
    action: Action,
}

/// A rule that matches.
pub(crate) struct Match<'a> {
    /// The rule's number, from 1.
    pub(crate) number: usize,
    /// The word, expression or first condition that made it match, where there is one.
    pub(crate) by: Option<&'a str>,
    pub(crate) action: &'a Action,
}

impl Rules {
    pub(crate) fn new(config: &mut Config) -> Result<Self, String> {
        let mut drafts: Vec<Draft> = Vec::new();
        let mut rules = Vec::with_capacity(config.rules.len());
        for (index, rule) in std::mem::take(&mut config.rules).into_iter().enumerate() {
            let matching = Matching {
                whole_words: rule.whole_words.unwrap_or(config.whole_words),
                ignore_case: rule.ignore_case.unwrap_or(config.ignore_case),
            };
            let lens = lens_for(rule.look_in.unwrap_or(config.look_in), matching, &mut drafts);
            rules.push(compile(index, rule, lens, &mut drafts[lens])?);
        }
        let lens = |draft: Draft| {
            Ok(Lens {
                place: draft.place,
                terms: Terms::new(&draft.words, draft.matching)?,
            })
        };
        let lenses = drafts.into_iter().map(lens).collect::<Result<_, String>>()?;
        Ok(Rules {
            lenses,
            rules,
            read_at_most: config.read_at_most,
        })
    }

    /// What the rules do, in their order.
    pub(crate) fn actions(&self) -> impl Iterator<Item = &Action> {
        self.rules.iter().map(|rule| &rule.action)
    }

    /// The places of the rules that change nothing.
    pub(crate) fn idle(&self) -> impl Iterator<Item = usize> {
        let places = self.actions().enumerate();
        places.filter(|(_, action)| action.is_idle()).map(|(place, _)| place)
    }

    /// The rules that match, in their order, each looked for only when it is asked for.
    pub(crate) fn matching<'a>(&'a self, request: &'a Request) -> impl Iterator<Item = Match<'a>> {
        let mut views: Vec<Option<View>> = self.lenses.iter().map(|_| None).collect();
        self.rules.iter().enumerate().filter_map(move |(index, rule)| {
            let mut by = None;
            if rule.reads_text {
                let view = views[rule.lens].get_or_insert_with(|| self.view(&self.lenses[rule.lens], request));
                by = self.found(rule, view)?;
            }
            if !rule.when.iter().all(|condition| condition.holds(request)) {
                return None;
            }
            let by = by.or_else(|| rule.when.first().map(Condition::subject));
            Some(Match {
                number: index + 1,
                by,
                action: &rule.action,
            })
        })
    }

    fn view(&self, lens: &Lens, request: &Request) -> View {
        let text = match lens.place {
            Place::LastUser => request.last_user_text(),
            Place::System => request.system_text(),
            Place::All => request.all_text(self.read_at_most),
        };
        View {
            found: lens.terms.found_in(&text),
            text,
        }
    }

    /// None where the rule does not match; else what made it match, where there is something to show.
    fn found<'a>(&'a self, rule: &'a Compiled, view: &View) -> Option<Option<&'a str>> {
        if !rule.all.clone().all(|word| view.found[word]) || rule.none.clone().any(|word| view.found[word]) {
            return None;
        }
        let terms = &self.lenses[rule.lens].terms;
        if let Some(word) = rule.any.clone().find(|&word| view.found[word]) {
            return Some(terms.term(word));
        }
        if let Some(regex) = rule.regexes.iter().find(|regex| regex.is_match(&view.text)) {
            return Some(Some(regex.as_str()));
        }
        let wants_either = !rule.any.is_empty() || !rule.regexes.is_empty();
        (!wants_either).then(|| rule.all.clone().next().and_then(|word| terms.term(word)))
    }
}

/// What one request looks like through a lens.
struct View {
    text: String,
    found: Vec<bool>,
}

fn lens_for(place: Place, matching: Matching, drafts: &mut Vec<Draft>) -> usize {
    let known = drafts
        .iter()
        .position(|draft| draft.place == place && draft.matching == matching);
    known.unwrap_or_else(|| {
        drafts.push(Draft {
            place,
            matching,
            words: Vec::new(),
        });
        drafts.len() - 1
    })
}

fn compile(index: usize, rule: Rule, lens: usize, into: &mut Draft) -> Result<Compiled, String> {
    let Rule {
        any,
        all,
        none,
        regex,
        when,
        label,
        prefer,
        only,
        set,
        reject,
        ..
    } = rule;
    let reads_text = !(any.is_empty() && all.is_empty() && none.is_empty() && regex.is_empty());
    if !reads_text && when.is_empty() {
        return Err(format!(
            "`rules[{index}]` looks for nothing, expected one of `any`, `all`, `none`, `regex` and `when`"
        ));
    }
    let mut take = |name: &str, words: Vec<String>| {
        if let Some(empty) = words.iter().position(|word| word.trim().is_empty()) {
            return Err(format!(
                "`rules[{index}].{name}[{empty}]` is empty, which would be found in every text"
            ));
        }
        let first = into.words.len();
        into.words.extend(words);
        Ok(first..into.words.len())
    };
    let (any, all, none) = (take("any", any)?, take("all", all)?, take("none", none)?);
    let action = Action {
        label,
        prefer,
        only,
        set,
        reject,
    };
    action.check().map_err(|error| format!("`rules[{index}].{error}"))?;
    let regexes = regex.iter().enumerate().map(|(place, pattern)| {
        let regex = RegexBuilder::new(pattern)
            .case_insensitive(into.matching.ignore_case)
            .build();
        let regex = regex.map_err(|error| format!("`rules[{index}].regex[{place}]`: {error}"))?;
        // The first search allocates what all later ones need: here, so that it is in the memory image.
        regex.is_match("");
        Ok(regex)
    });
    let regexes = regexes.collect::<Result<_, String>>()?;
    Ok(Compiled {
        lens,
        any,
        all,
        none,
        regexes,
        reads_text,
        when,
        action,
    })
}
