//! Which messages are delayed or ended on purpose.

use std::time::Duration;

use aeraki_codec::Attributes;

use crate::{
    compile::Matcher,
    config::{AbortWith, ConfigError, Fault, error::FieldError},
    places::{Place, Places},
};

/// Draws the faults of messages.
#[derive(Debug)]
pub struct Faults {
    config: Fault,
    matcher: Matcher,
    delayed: Places,
}

/// What happens to one message on purpose: first the delay, then the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaultDraw {
    /// How long it is held back.
    pub delay: Option<Duration>,
    /// What its client is told instead of an answer.
    pub abort: Option<AbortWith>,
}

impl Faults {
    /// Compiles faults.
    ///
    /// # Errors
    ///
    /// Names the field and the reason: neither a delay nor an end, a time or share out of its range, a malformed
    /// regular expression.
    pub fn compile(config: &Fault) -> Result<Self, ConfigError> {
        let built = config.check().and_then(|()| Self::build_after(config, None));
        built.map_err(|error| error.of("fault", ""))
    }

    /// Compiles faults that have been checked; messages that `previous` holds back still count.
    pub(crate) fn build_after(config: &Fault, previous: Option<&Self>) -> Result<Self, FieldError> {
        let matcher = Matcher::compile([config.matches.as_slice()], |_| "fault".to_owned())?;
        let delayed = previous.map(|previous| previous.delayed.clone()).unwrap_or_default();
        Ok(Self { config: config.clone(), matcher, delayed })
    }

    /// Returns the configuration.
    pub fn config(&self) -> &Fault {
        &self.config
    }

    /// Draws for a message; `draws` yields uniformly random numbers.
    pub fn draw<A: Attributes + ?Sized>(&self, message: &A, mut draws: impl FnMut() -> u64) -> FaultDraw {
        if self.matcher.find(message).is_none() {
            return FaultDraw::default();
        }
        let delay = self.config.delay.filter(|delay| delay.fraction.contains(draws())).map(|delay| delay.duration);
        let abort = self.config.abort.filter(|abort| abort.fraction.contains(draws())).map(|abort| abort.with);
        FaultDraw { delay, abort }
    }

    /// Takes the place of a message that is held back; none where [as many as may be](Fault::max_active) are.
    pub fn hold(&self) -> Option<Place> {
        self.delayed.take(self.config.max_active)
    }

    /// Lists the keys that the faults look at.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.matcher.keys()
    }
}

#[cfg(test)]
mod tests {
    use aeraki_codec::Reason;

    use super::*;
    use crate::config::{AttributeMatch, FractionalPercent};

    #[test]
    fn delay_and_end_are_drawn_for_apart() {
        let second = Duration::from_secs(1);
        let config = Fault::new()
            .with_match(AttributeMatch::exact("method", "hello"))
            .with_delay(second, FractionalPercent::percent(50))
            .with_abort(AbortWith::Reason(Reason::Fault), FractionalPercent::percent(10));
        let faults = Faults::compile(&config).expect("valid");
        let draw = |method: &str, numbers: [u64; 2]| {
            let mut numbers = numbers.into_iter();
            let draw = faults.draw(&[("method", method)], || numbers.next().expect("two draws at most"));
            (draw.delay.is_some(), draw.abort.is_some())
        };
        assert_eq!(draw("hello", [49, 9]), (true, true));
        assert_eq!(draw("hello", [50, 9]), (false, true));
        assert_eq!(draw("hello", [49, 10]), (true, false));
        assert_eq!(draw("bye", [0, 0]), (false, false));
    }

    #[test]
    fn shares_above_the_whole_are_refused() {
        let config = Fault::new().with_delay(Duration::from_secs(1), FractionalPercent::percent(101));
        let text = Faults::compile(&config).expect_err("too much").to_string();
        assert_eq!(text, "fault \"\": delay.fraction.numerator: must not exceed the denominator, which is 100");
    }
}
