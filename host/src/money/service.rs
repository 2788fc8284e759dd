//! How a provider served a call, where that changes what it bills.

/// As the answer says, in its `service_tier`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Service {
    /// At the price.
    #[default]
    Ordinary,
    /// When there was time to: for a part of the price.
    Batch,
    /// Before others: for a multiple.
    Priority,
}

impl Service {
    /// By OpenAI's words, which others have taken over. Gateways between spell them large, too.
    pub fn of(tier: &str) -> Self {
        match tier {
            _ if ["flex", "batch"].iter().any(|word| tier.eq_ignore_ascii_case(word)) => Self::Batch,
            _ if tier.eq_ignore_ascii_case("priority") => Self::Priority,
            _ => Self::Ordinary,
        }
    }
}

/// What of a price is billed for other services than the ordinary one, in thousandths; all of it where absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shares {
    /// For what is served when there is time to.
    pub batch: Option<u32>,
    /// For what is served before others.
    pub priority: Option<u32>,
}

/// All of it.
pub(super) const WHOLE: u32 = 1_000;

impl Shares {
    /// Of one service.
    pub fn of(&self, service: Service) -> u32 {
        let share = match service {
            Service::Ordinary => None,
            Service::Batch => self.batch,
            Service::Priority => self.priority,
        };
        share.unwrap_or(WHOLE)
    }

    /// With what the other states where this one states nothing.
    pub fn or(self, other: Self) -> Self {
        Self {
            batch: self.batch.or(other.batch),
            priority: self.priority.or(other.priority),
        }
    }
}
