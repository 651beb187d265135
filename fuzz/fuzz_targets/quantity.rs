//! A quantity is the number of bytes that its grammar says, reckoned here digit by digit, or it is none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use outbound_operator::api::Quantity;

/// `[+]digits[.digits][suffix]` as (numerator, ten to the number of decimals); `None` where it is of another form.
fn oracle(text: &str) -> Option<u64> {
    const SUFFIXES: [(&str, u128, u128); 16] = [
        ("", 1, 1),
        ("n", 1, 1_000_000_000),
        ("u", 1, 1_000_000),
        ("m", 1, 1000),
        ("k", 1000, 1),
        ("M", 1_000_000, 1),
        ("G", 1_000_000_000, 1),
        ("T", 1_000_000_000_000, 1),
        ("P", 1_000_000_000_000_000, 1),
        ("E", 1_000_000_000_000_000_000, 1),
        ("Ki", 1 << 10, 1),
        ("Mi", 1 << 20, 1),
        ("Gi", 1 << 30, 1),
        ("Ti", 1 << 40, 1),
        ("Pi", 1 << 50, 1),
        ("Ei", 1 << 60, 1),
    ];
    let text = text.strip_prefix('+').unwrap_or(text);
    let digits: String = text
        .chars()
        .take_while(|c| c.is_ascii_digit() || *c == '.')
        .collect();
    let (_, times, by) = SUFFIXES
        .iter()
        .find(|(suffix, ..)| *suffix == &text[digits.len()..])?;
    let (mut number, mut decimals, mut seen) = (0_u128, 1_u128, false);
    for c in digits.chars() {
        match c.to_digit(10) {
            Some(digit) => {
                number = number.checked_mul(10)?.checked_add(u128::from(digit))?;
                if seen {
                    decimals = decimals.checked_mul(10)?;
                }
            }
            None => seen = true,
        }
    }
    let (numerator, denominator) = (number.checked_mul(*times)?, decimals.checked_mul(*by)?);
    (numerator % denominator == 0)
        .then(|| u64::try_from(numerator / denominator).ok())
        .flatten()
}

fuzz_target!(|text: &str| {
    if let Ok(bytes) = Quantity::Text(text.to_owned()).bytes() {
        assert!(i64::try_from(bytes).is_ok());
        assert_eq!(Quantity::Text(bytes.to_string()).bytes(), Ok(bytes));
        // A suffix with an exponent isn't reckoned here.
        if !text.contains(['e', 'E']) || text.ends_with("Ei") || text.ends_with('E') {
            assert_eq!(oracle(text), Some(bytes), "{text:?}");
        }
    }
    if let Ok(number) = text.parse::<i64>() {
        assert_eq!(
            Quantity::Bytes(number).bytes().ok(),
            u64::try_from(number).ok()
        );
    }
});
