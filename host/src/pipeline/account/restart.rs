//! An answer that broke off before anything of it was shown, and that another one follows.

use super::{Account, Ending, Failure, Place};

impl Account {
    /// The answer that was to serve broke off: it is booked as an attempt that failed.
    pub(in crate::pipeline) fn restarts(&mut self, failure: &Failure) {
        self.broke(failure);
        let ending = std::mem::replace(&mut self.ending, Ending::Open);
        if let Some(mut served) = self.served.take() {
            self.has_fallen_back = true;
            served.pay(ending.error(), Place::Beside);
            self.book_attempt(&served, &ending);
            self.bill.add(served.cost());
        }
    }
}
