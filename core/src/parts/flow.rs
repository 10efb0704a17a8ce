//! Flow stand-in.
/// Sender.
#[derive(Debug)]
pub struct CreditSender {
    limit: u64,
    used: u64,
}
impl CreditSender {
    /// New.
    pub const fn new(limit: u64) -> Self {
        Self { limit, used: 0 }
    }
    /// Grant.
    pub fn grant(&mut self, limit: u64) -> bool {
        let g = limit > self.limit;
        if g {
            self.limit = limit
        }
        g
    }
    /// May.
    #[inline]
    pub const fn may_send(&self) -> bool {
        self.used < self.limit || self.limit >= i64::MAX as u64
    }
    /// Use.
    #[inline]
    pub fn consume(&mut self, n: u64) {
        self.used = self.used.saturating_add(n);
    }
}
/// Receiver.
#[derive(Debug)]
pub struct CreditReceiver {
    limit: u64,
    used: u64,
    window: u64,
    held: bool,
}
impl CreditReceiver {
    /// New.
    pub const fn new(window: u64) -> Self {
        Self { limit: window, used: 0, window, held: false }
    }
    /// May.
    #[inline]
    pub const fn may_start(&self) -> bool {
        self.used < self.limit || self.limit >= i64::MAX as u64
    }
    /// Use.
    #[inline]
    pub fn consume(&mut self, n: u64) -> Result<(), ()> {
        if !self.may_start() {
            return Err(());
        }
        self.used += n;
        Ok(())
    }
    /// Grant.
    #[inline]
    pub fn poll_grant(&self) -> Option<u64> {
        (!self.held
            && self.limit < i64::MAX as u64
            && self.limit.saturating_sub(self.used) <= self.window / 2)
            .then(|| self.used + self.window)
    }
    /// Granted.
    pub fn granted(&mut self, limit: u64) {
        self.limit = limit;
    }
    /// Hold.
    pub fn hold(&mut self) {
        self.held = true;
    }
    /// Resume.
    pub fn resume(&mut self) {
        self.held = false;
    }
    /// Window.
    pub const fn window(&self) -> u64 {
        self.window
    }
}
