//! What happens when a client acknowledges a message, or never does: an opening offer that no device of its callee ever
//! heard is a missed call, and the missed calls that a client has been told of are forgotten (sections 5 and 6).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use ahoy_protocol::id::{CallId, Username};

use crate::accounts::{MissedBook, Told};
use crate::shared::now;

/// Goes with a message into a mailbox.
#[derive(Debug, Clone)]
pub(crate) enum Receipt {
    /// Of an opening offer; one for all devices that it was handed to.
    Offer(Arc<OfferReceipt>),
    /// Of the list of missed calls.
    Missed(Arc<MissedReceipt>),
}

/// When the last device lets go of it and none heard the offer, the call was missed.
#[derive(Debug)]
pub(crate) struct OfferReceipt {
    call: CallId,
    callee: Username,
    caller: Username,
    video: bool,
    at: Instant,
    heard: AtomicBool,
    book: MissedBook,
}

/// What a device was told was missed.
#[derive(Debug)]
pub(crate) struct MissedReceipt {
    callee: Username,
    told: Vec<Told>,
    book: MissedBook,
    done: AtomicBool,
}

impl Receipt {
    /// For an opening offer, with picture or without, made `at` a time.
    pub(crate) fn offer(
        call: CallId,
        caller: Username,
        callee: Username,
        video: bool,
        at: Instant,
        book: MissedBook,
    ) -> Self {
        let heard = AtomicBool::new(false);
        Self::Offer(Arc::new(OfferReceipt { call, callee, caller, video, at, heard, book }))
    }

    /// For a list of missed calls.
    pub(crate) fn missed(callee: Username, told: Vec<Told>, book: MissedBook) -> Self {
        Self::Missed(Arc::new(MissedReceipt { callee, told, book, done: AtomicBool::new(false) }))
    }

    /// The client has the message.
    pub(crate) fn acknowledged(&self) {
        match self {
            Self::Offer(offer) => offer.heard.store(true, Ordering::Relaxed),
            Self::Missed(missed) => {
                if !missed.done.swap(true, Ordering::Relaxed) {
                    missed.book.forget(&missed.callee, &missed.told);
                }
            }
        }
    }

    /// The client spoke of `call`.
    pub(crate) fn heard_of(&self, call: CallId) {
        if let Self::Offer(offer) = self
            && offer.call == call
        {
            self.acknowledged();
        }
    }
}

impl Drop for OfferReceipt {
    fn drop(&mut self) {
        if !*self.heard.get_mut() {
            self.book.note(&self.callee, &self.caller, self.video, now().saturating_duration_since(self.at));
        }
    }
}
