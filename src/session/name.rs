//! What a client calls a subscription.

use std::fmt;

use crate::ident::SubscriptionId;

/// The `id` of its SUBSCRIBE, or else the text of its `destination` (D48). One is never taken for the other (U1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SubscriptionName {
    Destination(SubscriptionId),
    Id(SubscriptionId),
}

impl SubscriptionName {
    /// What a back end knows it by.
    pub fn id(&self) -> &SubscriptionId {
        match self {
            Self::Destination(it) | Self::Id(it) => it,
        }
    }

    /// The `subscription` header of its messages (A3).
    pub fn in_messages(&self) -> Option<&str> {
        match self {
            Self::Destination(_) => None,
            Self::Id(it) => Some(it.as_str()),
        }
    }

    /// As RabbitMQ's plugin names its consumers.
    pub(super) fn consumer_tag(&self) -> String {
        match self {
            Self::Destination(it) => format!("Q_{}", it.as_str()),
            Self::Id(it) => format!("T_{}", it.as_str()),
        }
    }
}

impl fmt::Display for SubscriptionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Destination(it) => write!(f, "destination='{}'", it.as_str()),
            Self::Id(it) => write!(f, "id='{}'", it.as_str()),
        }
    }
}
