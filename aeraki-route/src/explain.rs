//! Why a message takes a route and not the ones before it.

use std::fmt;

use aeraki_codec::Attributes;

use crate::{Route, RouteTable};

/// The course of one decision; its text is a line for every route tried.
#[derive(Debug)]
#[non_exhaustive]
pub struct Explanation<'t> {
    /// The route that won; none if no route matched.
    pub route: Option<&'t Route>,
    /// Every route before it, in order, with the reason why it was passed over.
    pub passed_over: Vec<PassedOver<'t>>,
}

/// The first condition of a route that did not hold.
#[derive(Debug)]
#[non_exhaustive]
pub struct PassedOver<'t> {
    /// The route.
    pub route: &'t Route,
    /// Position of the condition in the route.
    pub condition: usize,
    /// The attribute that it looks at.
    pub key: &'t str,
    /// What it asks of the attribute, for example `must equal "sayHello"`.
    pub expected: String,
    /// The attribute's value in the message; none if it is missing.
    pub found: Option<Vec<u8>>,
}

impl RouteTable {
    /// Tries the routes one by one and tells how each fared: for people, not for traffic.
    pub fn explain<A: Attributes + ?Sized>(&self, attributes: &A) -> Explanation<'_> {
        let mut passed_over = Vec::new();
        for (rule, route) in self.rules() {
            let value = |condition| attributes.attr(self.key(condition));
            let Some(position) = rule.iter().position(|condition| !condition.holds(value(condition))) else {
                return Explanation { route: Some(route), passed_over };
            };
            let condition = &rule[position];
            let key = self.key(condition);
            passed_over.push(PassedOver {
                route,
                condition: position,
                key,
                expected: condition.to_string(),
                found: attributes.attr(key).map(<[u8]>::to_vec),
            });
        }
        Explanation { route: None, passed_over }
    }
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for passed_over in &self.passed_over {
            writeln!(f, "{passed_over}")?;
        }
        match self.route {
            Some(route) => write!(f, "{}: matches", Label(route)),
            None => f.write_str("no route matches"),
        }
    }
}

impl fmt::Display for PassedOver<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: passed over: {:?} {}, ", Label(self.route), self.key, self.expected)?;
        match &self.found {
            Some(value) => write!(f, "and is {:?}", String::from_utf8_lossy(value)),
            None => f.write_str("and is missing"),
        }
    }
}

struct Label<'t>(&'t Route);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &**self.0.name() {
            "" => write!(f, "routes[{}]", self.0.index()),
            name => write!(f, "routes[{}] {name:?}", self.0.index()),
        }
    }
}
