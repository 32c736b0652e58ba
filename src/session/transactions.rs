//! BEGIN, COMMIT, ABORT: frames that are kept until they take effect together.
//!
//! Together does not mean all or nothing: the broker is asked for each of them in order (S20).

use super::acks::Settling;
use super::action::Publish;
use super::refusal::{Limit, Refusal};
use super::settings::Settings;

/// A frame that waits for its COMMIT. So does the receipt of a SEND (RC3); that of an ACK does not (RC6).
#[derive(Debug)]
pub(super) enum Kept {
    Publish { publish: Publish, receipt: Option<Box<str>> },
    Settle(Settling),
}

impl Kept {
    /// A receipt may be as long as all headers.
    fn size(&self) -> usize {
        match self {
            Self::Publish { publish, receipt } => publish.size() + receipt.as_ref().map_or(0, |it| it.len()),
            Self::Settle(_) => 0,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Transactions(Vec<Transaction>);

#[derive(Debug)]
struct Transaction {
    id: Box<str>,
    kept: Vec<Kept>,
    bytes: usize,
}

impl Transactions {
    pub(super) fn begin(&mut self, id: &str, settings: &Settings) -> Result<(), Refusal> {
        if let Ok(at) = self.position(id) {
            if settings.close_on_error {
                return Err(Refusal::TransactionExists { id: id.to_owned() });
            }
            // As RabbitMQ's plugin does (T1).
            self.0.swap_remove(at);
        }
        if self.0.len() >= settings.transactions_max {
            return Err(Refusal::Limit(Limit::Transactions { max: settings.transactions_max }));
        }
        self.0.push(Transaction { id: id.into(), kept: Vec::new(), bytes: 0 });
        Ok(())
    }

    pub(super) fn keep(&mut self, id: &str, kept: Kept, settings: &Settings) -> Result<(), Refusal> {
        let at = self.position(id)?;
        let transaction = &mut self.0[at];
        let bytes = transaction.bytes + kept.size();
        if transaction.kept.len() >= settings.transaction_frames_max {
            return Err(Refusal::Limit(Limit::TransactionFrames { max: settings.transaction_frames_max }));
        }
        if bytes > settings.transaction_bytes_max {
            return Err(Refusal::Limit(Limit::TransactionBytes { max: settings.transaction_bytes_max }));
        }
        transaction.bytes = bytes;
        transaction.kept.push(kept);
        Ok(())
    }

    /// Ends the transaction and returns what it kept, in order.
    pub(super) fn end(&mut self, id: &str) -> Result<Vec<Kept>, Refusal> {
        self.position(id).map(|at| self.0.swap_remove(at).kept)
    }

    pub(super) fn check(&self, id: &str) -> Result<(), Refusal> {
        self.position(id).map(|_| ())
    }

    fn position(&self, id: &str) -> Result<usize, Refusal> {
        let unknown = || Refusal::TransactionUnknown { id: id.to_owned() };
        self.0.iter().position(|it| &*it.id == id).ok_or_else(unknown)
    }
}
