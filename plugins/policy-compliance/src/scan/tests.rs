//! What is found in a text and what is not: forms in which people write things, and texts that only look like them.

use super::*;

/// The classes that are found in the text, each as often as it is.
fn found(text: &str) -> Vec<&'static str> {
    let counts = Scanner::new(0..CLASSES.len()).count(text);
    let names = CLASSES.into_iter().zip(counts);
    names.flat_map(|(name, count)| (0..count).map(move |_| name)).collect()
}

#[track_caller]
fn each_is(class: &str, texts: &[&str]) {
    for text in texts {
        for text in [
            text.to_string(),
            format!("see {text}, please."),
            format!("«{text}»"),
            format!("{text}\n{text}"),
        ] {
            let expected = vec![class; 1 + text.matches('\n').count()];
            assert_eq!(found(&text), expected, "{text}");
        }
    }
}

#[track_caller]
fn none_in(texts: &[&str]) {
    for text in texts {
        assert_eq!(found(text), [""; 0], "{text}");
    }
}

#[test]
fn addresses_have_a_name_and_a_domain() {
    each_is(
        "email",
        &[
            "ann@example.com",
            "o'brien+x@mail.example.co.uk",
            "jörg@müller.de",
            "a@b.xn--p1ai",
        ],
    );
    assert_eq!(found("ann@example.com,ben@example.org;c@d.io"), ["email"; 3]);
    none_in(&[
        "@app.route",
        "lodash@4.17.21",
        "me@localhost",
        "a@b.c",
        "a@.com",
        "user.@example.com",
        "a @ b.com",
        "@",
        "x@",
        "@@a.com",
    ]);
}

#[test]
fn cards_are_written_plain_or_in_groups() {
    each_is(
        "credit-card",
        &[
            "4111111111111111",
            "4111 1111 1111 1111",
            "5555-5555-5555-4444",
            "3782 822463 10005",
            "4111\u{a0}1111\u{a0}1111\u{a0}1111",
        ],
    );
    none_in(&[
        "4111111111111112",
        "4111-1111 1111-1111",
        "x4111111111111111",
        "4111111111111111x",
        "0.4111111111111111",
        "41111111111111110000000",
        "550e8400-e29b-41d4-a716-446655440000",
        "4111 1111 1111",
        "4111 1111 1111 1111-2",
    ]);
    assert_eq!(
        found("12 4111 1111 1111 1111"),
        ["credit-card"],
        "a number before it is no part of it"
    );
}

#[test]
fn accounts_are_known_in_every_spelling() {
    each_is(
        "iban",
        &[
            "DE89370400440532013000",
            "DE89 3704 0044 0532 0130 00",
            "gb29-nwbk-6016-1331-9268-19",
            "NO9386011117947",
        ],
    );
    none_in(&[
        "DE88370400440532013000",
        "DE89 37040044 0532013000",
        "XX89370400440532013000",
        "DE8937040044053201300",
        "ADE89370400440532013000",
    ]);
}

#[test]
fn national_ids_are_known_by_shape_and_check_digit() {
    each_is("us-ssn", &["123-45-6789", "123 45 6789"]);
    each_is("uk-nino", &["AB123456C", "AB 12 34 56 C"]);
    each_is("de-tax-id", &["36574261809", "36 574 261 809"]);
    each_is(
        "fr-nir",
        &["295109912611193", "2 95 10 99 126 111 93", "2951099126111 93"],
    );
    each_is("es-dni", &["12345678Z", "12345678-Z", "X1234567L", "x-1234567-l"]);
    each_is("it-codice-fiscale", &["RCCMNL83S18D969H"]);
    each_is("pl-pesel", &["44051401359"]);
    each_is("br-cpf", &["390.533.447-05", "39053344705"]);
    each_is("in-aadhaar", &["2341 2341 2346", "2341-2341-2346"]);
    none_in(&[
        "123456789",
        "123-45-67890",
        "000-45-6789",
        "36574261808",
        "12345678A",
        "390.533.447-06",
        "390.533-447.05",
        "234123412346",
        "2026-11-21",
        "192.168.100.200",
        "1.234.567,89",
        "3.14159265358979",
    ]);
}

#[test]
fn telephones_are_international_or_north_american() {
    each_is(
        "phone",
        &[
            "+49 30 901820",
            "+1 (415) 555-2671",
            "+442071838750",
            "0049 30 901820",
            "(415) 555-2671",
            "415-555-2671",
            "415.555.2671",
        ],
    );
    none_in(&[
        "030 901820",
        "+12",
        "1+12345678a",
        "+1234567890123456",
        "123-456-7890",
        "0012345678901",
        "2026-11-21 10:00:00",
        "415 555 2671",
        "+0 123 456 789",
    ]);
}

#[test]
fn tokens_and_keys_are_known_by_what_they_begin_with() {
    let tail = "a1B2c3D4e5F6g7H8i9J0";
    let web = format!("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.{tail}");
    let tokens = [
        format!("sk-proj-{tail}"),
        format!("ghp_{tail}{tail}"),
        "AKIAIOSFODNN7EXAMPLE".into(),
        format!("xoxb-{tail}"),
        web,
    ];
    each_is("api-token", &tokens.iter().map(String::as_str).collect::<Vec<_>>());
    none_in(&[
        "sk-learn",
        "sk-this-is-a-long-name-of-something",
        "task-sk-1",
        "eyJhbGciOiJIUzI1NiJ9",
        "AKIA",
        "disk-a1B2c3D4e5F6g7H8i9J0",
    ]);
    assert_eq!(found("-----BEGIN PRIVATE KEY-----\nMII"), ["private-key"]);
    assert_eq!(found("-----BEGIN RSA PRIVATE KEY-----"), ["private-key"]);
    assert_eq!(found("-----BEGIN PGP PRIVATE KEY BLOCK-----"), ["private-key"]);
    none_in(&[
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN ",
        "-----",
        "PRIVATE KEY",
    ]);
}

#[test]
fn only_what_is_wanted_is_looked_for() {
    let text = "ann@example.com 4111111111111111 DE89370400440532013000 +49 30 901820";
    for (class, name) in CLASSES.into_iter().enumerate() {
        let counts = Scanner::new([class]).count(text);
        let is_there = ["email", "credit-card", "iban", "phone"].contains(&name);
        assert_eq!(counts.iter().sum::<u32>(), u32::from(is_there), "{name}");
    }
    assert!(Scanner::new([]).is_idle());
}

#[test]
fn texts_may_end_anywhere() {
    let text = "ann@example.com 4111 1111 1111 1111 DE89 3704 0044 0532 0130 00 +1 (415) 555-2671 (415) 555-2671 0049 30 901820 \
        12345678-Z X1234567L 390.533.447-05 AB 12 34 56 C -----BEGIN PRIVATE KEY----- eyJhbGciOiJIUzI1NiJ9.eyJ sk-é @";
    for start in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
        for end in (start..=text.len()).filter(|at| text.is_char_boundary(*at)) {
            let _ = found(&text[start..end]);
        }
    }
}

#[test]
fn every_class_of_a_group_exists() {
    assert!(
        GROUPS
            .iter()
            .flat_map(|(_, classes)| *classes)
            .all(|class| CLASSES.contains(class))
    );
}
