//! Tags for sessions, by rules: what other plugins, the registry and messages to many tell sessions apart by.

use alloc::string::String;
use alloc::vec::Vec;

use super::client::{BadTag, Client, Scope, Tags};
use super::verdict::{Interest, Rejection};
use super::{Context, Plugin};

/// Whoever this is about gets these tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagRule {
    /// Whom it is about. It sees the tags that rules before it gave.
    pub scope: Scope,
    /// What they are tagged with.
    pub tags: Vec<String>,
}

/// Tags sessions as they connect: by user, client id, network, listener and dialect. All rules that are about a
/// client count, in order. What is beyond [`Tags::MAX`] is left out.
///
/// ```
/// use bowline_core::plugin::{Scope, TagRule, Tagging};
/// let meters = Scope { client_ids: vec!["meter-*".into()], ..Scope::default() };
/// let tagging = Tagging::new(vec![TagRule { scope: meters, tags: vec!["meter".into()] }]).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
pub struct Tagging(Vec<TagRule>);

impl Tagging {
    /// With these rules.
    ///
    /// # Errors
    ///
    /// One of the tags is none.
    pub fn new(rules: Vec<TagRule>) -> Result<Self, BadTag> {
        rules.iter().flat_map(|rule| &rule.tags).try_for_each(|tag| Tags::check(tag))?;
        Ok(Self(rules))
    }
}

impl Plugin for Tagging {
    fn interest(&self) -> Interest {
        if self.0.is_empty() { Interest::NONE } else { Interest::CONNECT }
    }

    fn connect(
        &mut self,
        _: &mut Context<'_>,
        client: &Client<'_>,
        tags: &mut Tags,
    ) -> Result<(), Rejection> {
        for rule in &self.0 {
            if rule.scope.covers(&Client { tags, ..*client }) {
                for tag in &rule.tags {
                    // There may be too many.
                    let _ = tags.insert(tag);
                }
            }
        }
        Ok(())
    }
}
