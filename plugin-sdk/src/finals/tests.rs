//! What is found in texts, and what is the same.

use super::*;

fn shown(compare: Compare, text: &str) -> String {
    match compare.find(text) {
        Some(Final::Number(number)) => format!("number {number}"),
        Some(Final::Option(letter)) => format!("option {letter}"),
        Some(Final::Json(value)) => format!("json {value}"),
        Some(Final::Labelled(_, text) | Final::Text(text)) => format!("text {text}"),
        None => "nothing".into(),
    }
}

#[test]
fn a_text_is_compared_by_what_it_says_is_its_answer() {
    for (text, expected) in [
        ("6 × 7 is 42, so\n#### 42", "number 42"),
        ("We get \\boxed{\\frac{1}{2}}.", "text \\frac{1}{2}"),
        ("Hence $\\boxed{1,250}$", "number 1250"),
        ("\\boxed{\\text{C}}", "option C"),
        ("Adding up, the answer is **$18**.", "number 18"),
        ("The answer is 18. That is because 3 times 6 is 18.", "number 18"),
        ("**Answer:** (B) Paris", "option B"),
        ("Answer: x = -2.50", "number -2.5"),
        ("The final answer is:\n\n7 apples", "number 7 apple"),
        ("The answer is Apollo 11", "text apollo 11"),
        ("The answer is J. K. Rowling", "text j k rowling"),
        ("The answer is E. coli", "text e coli"),
        ("The answer is Dr. Jones. He is a friend.", "text dr jones"),
        ("The answer is John F. Kennedy", "text john f kennedy"),
        ("The answer is option B. It is the only one.", "option B"),
        ("The answer is B.", "option B"),
        ("The answer is 2*3", "text 2*3"),
        ("The answer is **2** dogs", "number 2 dog"),
        ("<think>the answer is 3</think>The answer is 4", "number 4"),
        ("<think>the answer is 3", "nothing"),
        ("The answer is 3/4", "text 3/4"),
        ("First I thought that the answer is A.\nBut the answer is D", "option D"),
    ] {
        assert_eq!(shown(Compare::Auto, text), expected, "{text}");
    }
}

#[test]
fn a_short_text_is_its_own_answer_and_a_long_one_is_none() {
    for (text, expected) in [
        ("Paris.", "text paris"),
        ("b)", "option B"),
        ("A", "option A"),
        ("A dog", "text a dog"),
        ("-3", "number -3"),
        ("2024-05-01", "text 2024-05-01"),
        ("3,5", "text 3,5"),
        ("{\"a\": [1, 2.0]}", "json {\"a\":[1,2.0]}"),
        ("```json\n[1]\n```", "json [1]"),
        ("", "nothing"),
        ("#### Results\nIt depends.\nOn much.", "nothing"),
    ] {
        assert_eq!(shown(Compare::Auto, text), expected, "{text}");
    }
    let essay = "It depends on the weather, ".repeat(5);
    assert_eq!(shown(Compare::Auto, &essay), "nothing");
}

#[test]
fn a_kind_that_is_named_is_looked_for_in_the_whole_text() {
    let essay = "It was (A) at first, and in 1969 it rained for 12.5 days, so take (c), said she.";
    assert_eq!(shown(Compare::Number, essay), "number 12.5");
    assert_eq!(shown(Compare::Option, essay), "option C");
    assert_eq!(shown(Compare::Json, essay), "nothing");
    assert_eq!(shown(Compare::Text, "  So, IT is: \"this\"!"), "text so it is this");
    assert_eq!(shown(Compare::Number, "None at all"), "nothing");
    assert_eq!(shown(Compare::Number, "It costs $1,080.00."), "number 1080");
    assert_eq!(shown(Compare::Option, "C. Because it is so"), "option C");
    assert_eq!(shown(Compare::Option, "Certainly"), "nothing");
    assert_eq!(shown(Compare::Option, "J.K. Rowling"), "nothing");
    assert_eq!(
        shown(Compare::Number, "They are 1.4 million, all in all."),
        "number 1400000"
    );
    assert_eq!(shown(Compare::Number, "The answer is 5 km"), "number 5");
}

#[test]
fn what_means_the_same_is_equal() {
    let same = |one: &str, other: &str| Compare::Auto.find(one) == Compare::Auto.find(other);
    assert!(same("$18.00", "The answer is 18 dollars"));
    assert!(same(
        "{\"a\": 1, \"b\": [true]}",
        "```\n{\"b\": [true], \"a\": 1.0}\n```"
    ));
    assert!(same("(B) Paris", "b"));
    assert!(same("Yes.", "YES"));
    assert!(!same("18", "-18"));
    assert!(!same("{\"a\": 1}", "{\"a\": 1, \"b\": 2}"));
    assert!(!same("[1, 2]", "[2, 1]"));
    assert!(!same("1", "A"));
    assert!(!same("The answer is J. K. Rowling", "The answer is J. R. R. Tolkien"));
    assert!(!same("E. coli", "E. faecalis"));
    assert!(same("(B)", "The answer is B. Paris") && same("B. Paris", "b. paris"));
    assert!(!same("(A)", "The answer is B. Paris"));
    assert!(!same("Dr. Jones", "Dr. Smith"));
    assert!(!same("The answer is John F. Kennedy", "The answer is John F. Kerry"));
    assert!(!same("1.4 million", "1.4 billion") && !same("1.4 million", "1.4"));
    assert!(same("1.4 million people", "1,400,000"));
    assert!(!same("5 km", "5 miles") && same("5 km", "5"));
    assert!(
        !same("#### 987654321098", "#### 987654321099") && same("#### 18446744073709551616", "18446744073709551616.0")
    );
    assert!(!same("18446744073709551616", "18446744073709551617"));
    assert!(!same("[987654321098]", "[987654321099]") && same("[1e2, 0.1]", "[100, 0.1000000000001]"));
    let endless = "9".repeat(400);
    assert_eq!(Compare::Number.find(&endless), Compare::Number.find(&endless));
}

/// Texts of pieces that mean something here, put together by a fixed sequence.
#[test]
fn no_text_is_too_odd() {
    let pieces = [
        "\\boxed{",
        "}",
        "{",
        "####",
        "answer is",
        "Answer:",
        ".",
        ",",
        "-",
        "−",
        "=",
        "(",
        ")",
        "[",
        "é",
        "option ",
        "ü",
        "```",
        "\n",
        " ",
        "\u{a0}",
        "١٢",
        "🦀",
        "1",
        "234",
        "%",
        "$",
        "€",
        "A",
        "b",
        "**",
        "\\text{",
        "\"",
        ":",
        "İ",
        " million ",
        "Dr. ",
        "B. ",
        "2*3",
        "<think>",
        "</think>",
        "99999999999999999999",
    ];
    let mut state = 1_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % below
    };
    for _ in 0..20_000 {
        let text: String = (0..next(12)).map(|_| pieces[next(pieces.len())]).collect();
        for compare in [
            Compare::Auto,
            Compare::Number,
            Compare::Option,
            Compare::Json,
            Compare::Text,
        ] {
            let found = compare.find(&text);
            assert_eq!(found, compare.find(&format!(" {text}\n")), "{text:?}");
        }
    }
}
