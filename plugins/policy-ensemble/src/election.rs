//! How the members' answers count as votes.

use pointsman_plugin::finals::{Compare, Final};

/// How a vote went.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Election {
    /// The first of the answers that agree, by its place.
    pub(crate) winner: usize,
    pub(crate) votes: usize,
}

impl Election {
    /// Answers in which there is nothing to be compared abstain. Of several that are equally many, the first.
    pub(crate) fn of(answers: &[String], compare: Compare) -> Election {
        let finals: Vec<Option<Final>> = answers.iter().map(|answer| compare.find(answer)).collect();
        let mut best = Election { winner: 0, votes: 0 };
        for (index, own) in finals.iter().enumerate().filter(|(_, own)| own.is_some()) {
            let votes = finals.iter().filter(|other| *other == own).count();
            if votes > best.votes {
                best = Election { winner: index, votes };
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_votes_win_and_who_cannot_be_read_abstains() {
        let answers = ["7", "I do not know", "8", "It is 8", "<think>7 or 9</think>7.0", "8"].map(str::to_owned);
        let most = Election { winner: 2, votes: 3 };
        assert_eq!(Election::of(&answers, Compare::Number), most);
        assert_eq!(Election::of(&answers[1..2], Compare::Number).votes, 0);
    }
}
