//! Numbers as a person reads them.

/// `17,390,594`.
pub(super) fn whole(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Three digits and a magnitude: `17.4 M`.
pub(super) fn short(number: f64) -> String {
    let (value, unit) = match number.abs() {
        n if n >= 1e9 => (number / 1e9, " G"),
        n if n >= 1e6 => (number / 1e6, " M"),
        n if n >= 1e4 => (number / 1e3, " k"),
        _ if number >= 1e3 => return whole(number.round() as usize),
        _ => (number, ""),
    };
    format!("{}{unit}", plain(value))
}

/// Three digits that count: `0.0273`, `12.3`, `1.2e-6`.
pub(super) fn plain(number: f64) -> String {
    let size = number.abs();
    if number == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e6).contains(&size) {
        return format!("{number:.2e}");
    }
    let decimals = (2 - size.log10().floor() as i32).max(0) as usize;
    let text = format!("{number:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// `69.6 MB`, of a million bytes each.
pub(super) fn megabytes(bytes: u64) -> String {
    match bytes as f64 / 1e6 {
        size if size >= 100.0 => format!("{size:.0} MB"),
        size if size >= 1.0 => format!("{size:.1} MB"),
        size => format!("{:.1} kB", 1e3 * size),
    }
}

/// `28 min 2 s`.
pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds.round().max(0.0) as u64;
    match (whole / 86_400, whole / 3600 % 24, whole / 60 % 60, whole % 60) {
        (0, 0, 0, _) if seconds < 10.0 => format!("{seconds:.1} s"),
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, m, s) => format!("{m} min {s} s"),
        (0, h, m, _) => format!("{h} h {m} min"),
        (d, h, ..) => format!("{d} d {h} h"),
    }
}

/// `2026-11-24 08:40 UTC` of seconds since 1970.
///
/// Source: Howard Hinnant, <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>.
pub(super) fn date(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // `date --utc --date @…`
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_827_696), "2000-02-29 12:34 UTC");
        assert_eq!(date(1_795_509_600), "2026-11-24 08:40 UTC");
    }

    #[test]
    fn numbers_keep_the_digits_that_count() {
        let shown = [0.02744, 12.345, 0.0, 99.96, 1234.0, 1.2e-6, 0.5].map(plain);
        assert_eq!(shown, ["0.0274", "12.3", "0", "100", "1234", "1.20e-6", "0.5"]);
        assert_eq!([17_390_594.0, 950.0, 8_612.4, 22_500.0].map(short), ["17.4 M", "950", "8,612", "22.5 k"]);
        assert_eq!([69_568_832, 8_300, 438_000_000].map(megabytes), ["69.6 MB", "8.3 kB", "438 MB"]);
        assert_eq!([7, 1_000, 17_390_594].map(whole), ["7", "1,000", "17,390,594"]);
        assert_eq!(
            [2.34, 59.6, 1678.1, 7_300.0, 100_000.0].map(duration),
            ["2.3 s", "1 min 0 s", "27 min 58 s", "2 h 1 min", "1 d 3 h"]
        );
    }
}
