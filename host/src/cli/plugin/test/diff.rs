//! Two JSON values line by line, for people: what was expected and is not there, what is there and was not expected.

use std::fmt::Write as _;

use serde_json::Value;

/// Lines that are the same, around those that are not.
const CONTEXT: usize = 2;
/// Of values with more lines only the beginnings are compared; the rest counts as one line.
const MOST_LINES: usize = 400;

/// The difference, if there is one.
pub(super) fn of(expected: &Value, actual: &Value) -> Option<String> {
    if expected == actual {
        return None;
    }
    let (expected, actual) = (lines(expected), lines(actual));
    let marked = marked(&expected, &actual);
    let is_near = |index: usize| {
        let near = index.saturating_sub(CONTEXT)..(index + CONTEXT + 1).min(marked.len());
        marked[near].iter().any(|(mark, _)| *mark != ' ')
    };
    let mut text = String::from("    - expected  + got\n");
    for (index, (mark, line)) in marked.iter().enumerate().filter(|(index, _)| is_near(*index)) {
        let _ = writeln!(text, "    {mark} {line}");
        if index + 1 < marked.len() && !is_near(index + 1) {
            text.push_str("      …\n");
        }
    }
    Some(text)
}

fn lines(value: &Value) -> Vec<String> {
    let text = format!("{value:#}");
    let mut lines: Vec<String> = text.lines().take(MOST_LINES).map(str::to_owned).collect();
    lines.extend((text.lines().count() > MOST_LINES).then(|| text.lines().skip(MOST_LINES).collect()));
    lines
}

/// Both texts as one, by their longest common subsequence.
fn marked<'a>(old: &'a [String], new: &'a [String]) -> Vec<(char, &'a str)> {
    let mut common = vec![vec![0_u32; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = match old[i] == new[j] {
                true => common[i + 1][j + 1] + 1,
                false => common[i + 1][j].max(common[i][j + 1]),
            };
        }
    }
    let (mut i, mut j, mut marked) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            marked.push((' ', old[i].as_str()));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            marked.push(('-', old[i].as_str()));
            i += 1;
        } else {
            marked.push(('+', new[j].as_str()));
            j += 1;
        }
    }
    marked
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_difference_is_shown_by_its_lines() {
        assert_eq!(of(&json!({ "a": 1 }), &json!({ "a": 1 })), None);
        let text = of(
            &json!({ "a": 1, "b": [1, 2, 3, 4, 5] }),
            &json!({ "a": 2, "b": [1, 2, 3, 4, 5] }),
        )
        .unwrap();
        assert!(
            text.contains("-   \"a\": 1,\n") && text.contains("+   \"a\": 2,\n"),
            "{text}"
        );
        assert!(!text.contains('5'), "{text}");
    }
}
