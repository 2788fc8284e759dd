//! Check digits: what tells a number of some kind from any number of its length. Digits are values from 0 to 9.

/// The sum that payment cards end with (ISO/IEC 7812-1, annex B; Luhn).
pub(crate) fn luhn(digits: &[u8]) -> bool {
    let doubled = |digit: u8| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &digit)| u32::from(if place % 2 == 1 { doubled(digit) } else { digit }))
        .sum();
    sum.is_multiple_of(10)
}

/// A card's number begins with what its issuer has, and has the length that goes with it: American Express, Diners Club,
/// Discover, JCB, Maestro, Mastercard, Mir, UnionPay, Visa.
pub(crate) fn is_card(digits: &[u8]) -> bool {
    if !(13..=19).contains(&digits.len()) {
        return false;
    }
    let prefix = digits[..4]
        .iter()
        .fold(0, |prefix, &digit| prefix * 10 + u32::from(digit));
    let is_issued = match digits.len() {
        13 => prefix / 1000 == 4,
        14 => matches!(prefix / 10, 300..=305) || matches!(prefix / 100, 36 | 38 | 39),
        15 => matches!(prefix / 100, 34 | 37),
        16 => {
            matches!(prefix / 1000, 4)
                || matches!(prefix / 100, 51..=55 | 62 | 65)
                || matches!(prefix / 10, 644..=649)
                || matches!(prefix, 2200..=2204 | 2221..=2720 | 3528..=3589 | 5018 | 5020 | 5038 | 6011 | 6304 | 6759 | 6761..=6763)
        }
        19 => {
            prefix / 1000 == 4 || prefix / 100 == 62 || matches!(prefix, 5018 | 5020 | 5038 | 6304 | 6759 | 6761..=6763)
        }
        _ => matches!(prefix, 5018 | 5020 | 5038 | 6304 | 6759 | 6761..=6763) || prefix / 100 == 62,
    };
    is_issued && luhn(digits)
}

/// The remainder that an IBAN leaves is 1, with its first four characters behind the others and letters as numbers from 10
/// (ISO 13616, ISO/IEC 7064 MOD 97-10).
pub(crate) fn is_iban(characters: &[u8]) -> bool {
    let Some((head, tail)) = characters.split_at_checked(4) else {
        return false;
    };
    let remainder = tail.iter().chain(head).try_fold(0_u32, |remainder, character| {
        match char::from(*character).to_digit(36)? {
            digit @ 0..=9 => Some((remainder * 10 + digit) % 97),
            letter => Some((remainder * 100 + letter) % 97),
        }
    });
    remainder == Some(1)
}

/// Social Security numbers have no check digit, but parts that are never given out (Social Security Administration).
pub(crate) fn is_us_ssn(digits: &[u8]) -> bool {
    let (area, group, serial) = (number(&digits[..3]), number(&digits[3..5]), number(&digits[5..]));
    area != 0 && area != 666 && area < 900 && group != 0 && serial != 0
}

/// Germany's tax identification number: one digit of the first ten comes twice or three times, the others once at most, and
/// the last is a check digit by ISO/IEC 7064 MOD 11,10.
pub(crate) fn is_de_tax_id(digits: &[u8]) -> bool {
    let count = |digit: u8| digits[..10].iter().filter(|one| **one == digit).count();
    let repeated = (0..10).filter(|digit| count(*digit) > 1).count();
    let most = (0..10).map(count).max();
    if digits[0] == 0 || repeated != 1 || most > Some(3) {
        return false;
    }
    let product = digits[..10]
        .iter()
        .fold(10, |product, &digit| match (product + u32::from(digit)) % 10 {
            0 => 20 % 11,
            sum => sum * 2 % 11,
        });
    (11 - product) % 10 == u32::from(digits[10])
}

/// France's social security number: sex, year, month, place of birth, and 97 less the remainder by 97.
pub(crate) fn is_fr_nir(digits: &[u8]) -> bool {
    let month = number(&digits[3..5]);
    let is_month = (1..=12).contains(&month) || (20..=42).contains(&month) || month >= 50;
    matches!(digits[0], 1 | 2) && is_month && 97 - number(&digits[..13]) % 97 == number(&digits[13..])
}

/// Spain's DNI and NIE: the number's remainder by 23 chooses the letter. The X, Y or Z of an NIE counts as 0, 1 or 2.
pub(crate) fn is_es_dni(digits: &[u8], letter: u8) -> bool {
    b"TRWAGMYFPDXBNJZSQVHLCKE"[(number(digits) % 23) as usize] == letter.to_ascii_uppercase()
}

/// Poland's PESEL: a date of birth, whose month says the century as well, and a weighted sum.
pub(crate) fn is_pl_pesel(digits: &[u8]) -> bool {
    let (month, day) = (number(&digits[2..4]) % 20, number(&digits[4..6]));
    let weights = [1, 3, 7, 9, 1, 3, 7, 9, 1, 3];
    (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (10 - weighted(digits, weights) % 10) % 10 == u32::from(digits[10])
}

/// Brazil's CPF: two check digits by weighted sums modulo 11; eleven times the same digit is none.
pub(crate) fn is_br_cpf(digits: &[u8]) -> bool {
    let check = |sum: u32| match sum % 11 {
        0 | 1 => 0,
        rest => 11 - rest,
    };
    let first = weighted(digits, [10, 9, 8, 7, 6, 5, 4, 3, 2]);
    let second = weighted(digits, [11, 10, 9, 8, 7, 6, 5, 4, 3, 2]);
    digits.iter().any(|digit| *digit != digits[0])
        && check(first) == u32::from(digits[9])
        && check(second) == u32::from(digits[10])
}

/// India's Aadhaar: twelve digits that do not begin with 0 or 1, with Verhoeff's check digit.
pub(crate) fn is_in_aadhaar(digits: &[u8]) -> bool {
    digits[0] > 1 && verhoeff(digits)
}

/// Verhoeff's scheme over the dihedral group of order ten: each digit is permuted by its place from the right, and all
/// are multiplied in the group.
fn verhoeff(digits: &[u8]) -> bool {
    const STEP: [usize; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let permute = |digit: u8, times: usize| (0..times % 8).fold(usize::from(digit), |digit, _| STEP[digit]);
    let multiply = |left: usize, right: usize| match (left < 5, right < 5) {
        (true, true) => (left + right) % 5,
        (true, false) => 5 + (left + right - 5) % 5,
        (false, true) => 5 + (left - 5 + 5 - right) % 5,
        (false, false) => (left + 5 - right) % 5,
    };
    let product = digits.iter().rev().enumerate();
    product.fold(0, |product, (place, digit)| multiply(product, permute(*digit, place))) == 0
}

/// The United Kingdom's National Insurance number: two letters that are given out, six digits, and A to D.
pub(crate) fn is_uk_nino(characters: &[u8]) -> bool {
    let [first, second, digits @ .., last] = characters else {
        return false;
    };
    let is_given = |letter: u8, never: &[u8]| letter.is_ascii_uppercase() && !never.contains(&letter);
    let never = [*b"BG", *b"GB", *b"KN", *b"NK", *b"NT", *b"TN", *b"ZZ"];
    is_given(*first, b"DFIQUV")
        && is_given(*second, b"DFIOQUV")
        && !never.contains(&[*first, *second])
        && digits.len() == 6
        && digits.iter().all(u8::is_ascii_digit)
        && (b'A'..=b'D').contains(last)
}

/// Italy's codice fiscale: letters and digits in their places (letters may stand for digits), and a letter that follows from
/// all others (Decreto ministeriale 23 dicembre 1976).
pub(crate) fn is_it_codice_fiscale(characters: &[u8]) -> bool {
    const ODD: [u32; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23,
    ];
    const LETTER_PLACES: [usize; 8] = [0, 1, 2, 3, 4, 5, 8, 11];
    if characters.len() != 16 {
        return false;
    }
    let upper = |place: usize| characters[place].to_ascii_uppercase();
    let fits = |place: usize| match upper(place) {
        b'A'..=b'Z' if LETTER_PLACES.contains(&place) => true,
        letter => !LETTER_PLACES.contains(&place) && (letter.is_ascii_digit() || b"LMNPQRSTUV".contains(&letter)),
    };
    // Both tables begin alike for digits and letters: 0 counts as A does.
    let value = |character: u8| match character {
        b'0'..=b'9' => u32::from(character - b'0'),
        _ => u32::from(character - b'A'),
    };
    if !(0..15).all(fits) || !upper(15).is_ascii_uppercase() {
        return false;
    }
    let sum: u32 = (0..15)
        .map(|place| match value(upper(place)) {
            value if place % 2 == 0 => ODD[value as usize],
            value => value,
        })
        .sum();
    sum % 26 == value(upper(15))
}

fn weighted<const N: usize>(digits: &[u8], weights: [u32; N]) -> u32 {
    digits
        .iter()
        .zip(weights)
        .map(|(&digit, weight)| u32::from(digit) * weight)
        .sum()
}

fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |number, &digit| number * 10 + u64::from(digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(text: &str) -> Vec<u8> {
        text.bytes()
            .filter(u8::is_ascii_digit)
            .map(|byte| byte - b'0')
            .collect()
    }

    /// A number that passes, of which every one with another last digit must fail.
    fn holds(check: fn(&[u8]) -> bool, good: &str) {
        let mut number = digits(good);
        assert!(check(&number), "{good}");
        let last = number.len() - 1;
        for other in (1..10).map(|step| (number[last] + step) % 10).collect::<Vec<_>>() {
            number[last] = other;
            assert!(!check(&number), "{good} ending in {other}");
        }
    }

    #[test]
    fn cards_of_every_issuer_are_known_by_prefix_length_and_sum() {
        for card in [
            "4111111111111111",
            "4012888888881881",
            "4222222222222",
            "5555555555554444",
            "5105105105105100",
            "2223003122003222",
            "378282246310005",
            "371449635398431",
            "30569309025904",
            "38520000023237",
            "6011111111111117",
            "3530111333300000",
            "6200000000000005",
            "2200000000000053",
        ] {
            holds(is_card, card);
        }
        for other in [
            "79927398713",
            "0000000000000000",
            "1111111111111117",
            "9999999999999995",
        ] {
            assert!(!is_card(&digits(other)), "{other}");
        }
    }

    #[test]
    fn ibans_are_known_by_their_remainder() {
        for iban in [
            "DE89370400440532013000",
            "GB29NWBK60161331926819",
            "no9386011117947",
            "MT84MALT011000012345MTLCAST001S",
        ] {
            assert!(is_iban(iban.as_bytes()), "{iban}");
        }
        for other in [
            "DE88370400440532013000",
            "GB29NWBK60161331926818",
            "DE",
            "",
            "DE8937040044053201300ö",
        ] {
            assert!(!is_iban(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn national_numbers_are_known_by_their_check_digits() {
        holds(is_de_tax_id, "36574261809");
        holds(is_fr_nir, "295109912611193");
        holds(is_pl_pesel, "44051401359");
        holds(is_br_cpf, "39053344705");
        holds(is_in_aadhaar, "234123412346");
        assert!(is_es_dni(&digits("12345678"), b'Z') && is_es_dni(&digits("01234567"), b'l'));
        assert!(!is_es_dni(&digits("12345678"), b'A'));
        assert!(is_us_ssn(&digits("123456789")));
        assert!(
            ["000456789", "666456789", "900456789", "123006789", "123450000"]
                .iter()
                .all(|ssn| !is_us_ssn(&digits(ssn)))
        );
        assert!(!is_br_cpf(&digits("11111111111")));
        assert!(!is_de_tax_id(&digits("11111111111")) && !is_de_tax_id(&digits("12345678903")));
    }

    #[test]
    fn letters_and_digits_stand_where_they_should() {
        assert!(is_uk_nino(b"AB123456C"));
        for other in [
            &b"GB123456A"[..],
            b"DA123456A",
            b"AO123456A",
            b"AB123456E",
            b"ab123456c",
            b"AB12345C",
            b"",
            b"ABCDEFGHA",
        ] {
            assert!(!is_uk_nino(other), "{other:?}");
        }
        assert!(is_it_codice_fiscale(b"RCCMNL83S18D969H") && is_it_codice_fiscale(b"rccmnl83s18d969h"));
        for other in [
            &b"RCCMNL83S18D969A"[..],
            b"RCCMNL83S18D96H",
            b"1CCMNL83S18D969H",
            b"RCCMNL83S18D9699",
        ] {
            assert!(!is_it_codice_fiscale(other), "{other:?}");
        }
    }
}
