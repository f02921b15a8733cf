//! Dates and times as FAT packs them: fatgen103, "Date and Time Formats". Universal time.

/// 1980-01-01 00:00:00, the first that FAT knows.
const FIRST: u64 = 315_532_800;
/// 2107-12-31 23:59:58, the last.
const LAST: u64 = 4_354_819_198;
const DAY: u64 = 86_400;

/// A date and a time, packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) date: u16,
    pub(super) time: u16,
}

impl Stamp {
    /// The nearest stamp to a time in seconds of the epoch.
    pub(super) fn of(seconds: u64) -> Self {
        let seconds = seconds.clamp(FIRST, LAST);
        let (mut days, rest) = ((seconds - FIRST) / DAY, seconds % DAY);
        let mut year = 1980;
        while days >= year_days(year) {
            days -= year_days(year);
            year += 1;
        }
        let mut month = 1;
        while days >= month_days(year, month) {
            days -= month_days(year, month);
            month += 1;
        }
        let date = (year - 1980) << 9 | month << 5 | (days + 1);
        let time = (rest / 3600) << 11 | (rest / 60 % 60) << 5 | (rest % 60 / 2);
        Stamp { date: date as u16, time: time as u16 }
    }

    /// Seconds of the epoch; a stamp that no clock shows gives a time near it.
    pub(super) fn seconds(self) -> u64 {
        let (date, time) = (u64::from(self.date), u64::from(self.time));
        let (year, month, day) = (1980 + (date >> 9), date >> 5 & 15, date & 31);
        let days = (1980..year).map(year_days).sum::<u64>()
            + (1..month.clamp(1, 12)).map(|month| month_days(year, month)).sum::<u64>()
            + day.saturating_sub(1);
        let time = (time >> 11) * 3600 + (time >> 5 & 63) * 60 + (time & 31) * 2;
        FIRST + days * DAY + time
    }
}

/// As a person writes it: `2023-11-14 22:13:20`.
impl std::fmt::Display for Stamp {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (date, time) = (self.date, self.time);
        write!(to, "{}-{:02}-{:02} ", 1980 + (date >> 9), date >> 5 & 15, date & 31)?;
        write!(to, "{:02}:{:02}:{:02}", time >> 11, time >> 5 & 63, (time & 31) * 2)
    }
}

fn year_days(year: u64) -> u64 {
    365 + u64::from(is_leap(year))
}

fn month_days(year: u64, month: u64) -> u64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u64::from(is_leap(year)),
        _ => 31,
    }
}

fn is_leap(year: u64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let check = |seconds, text: &str, back| {
            let stamp = Stamp::of(seconds);
            assert_eq!((stamp.to_string().as_str(), stamp.seconds()), (text, back));
        };
        check(0, "1980-01-01 00:00:00", FIRST);
        check(1_700_000_001, "2023-11-14 22:13:20", 1_700_000_000);
        check(951_782_399, "2000-02-28 23:59:58", 951_782_398);
        check(951_782_400, "2000-02-29 00:00:00", 951_782_400);
        check(4_107_542_400, "2100-03-01 00:00:00", 4_107_542_400);
        check(u64::MAX, "2107-12-31 23:59:58", LAST);
    }
}
