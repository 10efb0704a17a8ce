//! Operations as SQL.

use bowline_core::hub::{Message, Operation, QueueOptions, SubscribeOptions};
use bowline_core::time::Instant;
use bowline_driver::store::Calendar;
use rusqlite::{CachedStatement, Connection, Params, params};

use crate::columns::{Parts, int, list, millis};

/// Every statement that writes. Each leads to the same when it is carried out again.
#[derive(Clone, Copy)]
#[repr(usize)]
enum Sql {
    CreateSession,
    ChangeSession,
    RemoveSession,
    RemoveSubscriptions,
    RemoveDeliveries,
    RemoveReceived,
    SetWill,
    AddSubscription,
    RemoveSubscription,
    AddMessage,
    RemoveMessage,
    Queue,
    Dequeue,
    Sent,
    Release,
    Receive,
    Forget,
    Retain,
    RemoveRetained,
    AddQueue,
    RemoveQueue,
    RemoveTasks,
    AddTask,
    ReturnTask,
    RemoveTask,
    Record,
    NameHistory,
    BeginHistory,
    TrimHistory,
}

const COUNT: usize = Sql::TrimHistory as usize + 1;

impl Sql {
    const fn text(self) -> &'static str {
        match self {
            Self::CreateSession => {
                "INSERT OR REPLACE INTO sessions (session, name, identity, expiry) VALUES (?, ?, ?, ?)"
            }
            Self::ChangeSession => "UPDATE sessions SET expiry = ?2, ends_at = ?3 WHERE session = ?1",
            Self::RemoveSession => "DELETE FROM sessions WHERE session = ?",
            Self::RemoveSubscriptions => "DELETE FROM subscriptions WHERE session = ?",
            Self::RemoveDeliveries => "DELETE FROM deliveries WHERE session = ?",
            Self::RemoveReceived => "DELETE FROM received WHERE session = ?",
            Self::SetWill => "UPDATE sessions SET will = ?2, will_delay = ?3 WHERE session = ?1",
            Self::AddSubscription => {
                "INSERT OR REPLACE INTO subscriptions (session, sid, filter, qos, credit, no_local, serves, \
                 retain_as_published, retain_handling) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
            }
            Self::RemoveSubscription => "DELETE FROM subscriptions WHERE session = ? AND sid = ?",
            Self::AddMessage => {
                "INSERT OR REPLACE INTO messages (message, topic, payload, head, has_properties, qos, retain, \
                 expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            }
            Self::RemoveMessage => "DELETE FROM messages WHERE message = ?",
            Self::Queue => {
                "INSERT OR REPLACE INTO deliveries (session, number, message, sid, others, qos, retain, released) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, 0)"
            }
            Self::Dequeue => "DELETE FROM deliveries WHERE session = ? AND number = ?",
            Self::Sent => "UPDATE sessions SET sent = ?2 WHERE session = ?1",
            Self::Release => {
                "UPDATE deliveries SET released = 1, message = 0 WHERE session = ? AND number = ?"
            }
            Self::Receive => "INSERT OR REPLACE INTO received (session, id) VALUES (?, ?)",
            Self::Forget => "DELETE FROM received WHERE session = ? AND id = ?",
            Self::Retain => "INSERT OR REPLACE INTO retained (topic, message) VALUES (?, ?)",
            Self::RemoveRetained => "DELETE FROM retained WHERE topic = ?",
            Self::AddQueue => {
                "INSERT OR REPLACE INTO queues (queue, max_tasks, max_bytes, max_attempts) VALUES (?, ?, ?, ?)"
            }
            Self::RemoveQueue => "DELETE FROM queues WHERE queue = ?",
            Self::RemoveTasks => "DELETE FROM tasks WHERE queue = ?",
            Self::AddTask => {
                "INSERT OR REPLACE INTO tasks (queue, task, message, attempts) VALUES (?, ?, ?, ?)"
            }
            Self::ReturnTask => "UPDATE tasks SET attempts = ?3 WHERE queue = ?1 AND task = ?2",
            Self::RemoveTask => "DELETE FROM tasks WHERE queue = ? AND task = ?",
            Self::Record => {
                "INSERT OR REPLACE INTO history (topic, offset, message, stamp) VALUES (?, ?, ?, ?)"
            }
            Self::NameHistory => {
                "INSERT INTO history_begins (topic, first, epoch) VALUES (?, 1, ?) \
                 ON CONFLICT (topic) DO UPDATE SET first = max(first, 1), epoch = excluded.epoch"
            }
            Self::BeginHistory => {
                "INSERT INTO history_begins (topic, first) VALUES (?, ?) \
                 ON CONFLICT (topic) DO UPDATE SET first = excluded.first"
            }
            Self::TrimHistory => "DELETE FROM history WHERE topic = ? AND offset < ?",
        }
    }
}

/// The statements of one transaction, each prepared when it is first needed.
pub(crate) struct Writer<'c> {
    connection: &'c Connection,
    calendar: Calendar,
    prepared: [Option<CachedStatement<'c>>; COUNT],
}

impl<'c> Writer<'c> {
    pub(crate) fn new(connection: &'c Connection, calendar: Calendar) -> Self {
        connection.set_prepared_statement_cache_capacity(COUNT);
        Self { connection, calendar, prepared: [const { None }; COUNT] }
    }

    fn run(&mut self, sql: Sql, params: impl Params) -> rusqlite::Result<()> {
        let place = &mut self.prepared[sql as usize];
        let statement = match place {
            Some(statement) => statement,
            None => place.insert(self.connection.prepare_cached(sql.text())?),
        };
        statement.execute(params).map(drop)
    }

    /// Carries out one operation.
    pub(crate) fn write(&mut self, operation: &Operation) -> rusqlite::Result<()> {
        match operation {
            Operation::SessionCreated { session, name, identity, expiry } => {
                self.run(Sql::CreateSession, params![int(*session), &**name, &**identity, millis(*expiry)])
            }
            Operation::SessionChanged { session, expiry, ends } => {
                let ends = ends.map(|at| self.time(at));
                self.run(Sql::ChangeSession, params![int(*session), millis(*expiry), ends])
            }
            Operation::SessionRemoved { session } => self.remove_session(int(*session)),
            Operation::WillChanged { session, will } => {
                let (message, delay) = will.map(|(message, delay)| (int(message), millis(delay))).unzip();
                self.run(Sql::SetWill, params![int(*session), message, delay.flatten()])
            }
            Operation::SubscriptionAdded { session, sid, filter, options } => {
                self.add_subscription(int(*session), int(*sid), filter, options)
            }
            Operation::SubscriptionRemoved { session, sid } => {
                self.run(Sql::RemoveSubscription, [int(*session), int(*sid)])
            }
            Operation::MessageAdded { message, content } => self.add_message(int(*message), content),
            Operation::MessageRemoved { message } => self.run(Sql::RemoveMessage, [int(*message)]),
            Operation::Queued { session, number, message, sid, others, quality, retain } => {
                let (session, message, sid) = (int(*session), int(*message), int(*sid));
                let (qos, others) = (quality.number(), list(others));
                let row = params![session, number, message, sid, others, qos, retain];
                self.run(Sql::Queue, row)
            }
            Operation::Dequeued { session, number } => self.run(Sql::Dequeue, params![int(*session), number]),
            Operation::Sent { session, number } => self.run(Sql::Sent, params![int(*session), number]),
            Operation::Released { session, number } => self.run(Sql::Release, params![int(*session), number]),
            Operation::Received { session, id } => self.run(Sql::Receive, params![int(*session), id]),
            Operation::Forgotten { session, id } => self.run(Sql::Forget, params![int(*session), id]),
            Operation::Retained { message, topic } => self.run(Sql::Retain, params![&**topic, int(*message)]),
            Operation::RetainedRemoved { topic } => self.run(Sql::RemoveRetained, [&**topic]),
            Operation::QueueAdded { queue, options: QueueOptions { max_tasks, max_bytes, max_attempts } } => {
                self.run(Sql::AddQueue, params![&**queue, max_tasks, int(*max_bytes), max_attempts])
            }
            Operation::QueueRemoved { queue } => {
                self.run(Sql::RemoveTasks, [&**queue])?;
                self.run(Sql::RemoveQueue, [&**queue])
            }
            Operation::TaskAdded { queue, task, message, attempts } => {
                self.run(Sql::AddTask, params![&**queue, int(*task), int(*message), attempts])
            }
            Operation::TaskReturned { queue, task, attempts } => {
                self.run(Sql::ReturnTask, params![&**queue, int(*task), attempts])
            }
            Operation::TaskRemoved { queue, task } => {
                self.run(Sql::RemoveTask, params![&**queue, int(*task)])
            }
            Operation::Recorded { message, topic, offset, stamp } => {
                self.run(Sql::Record, params![&**topic, int(*offset), int(*message), int(*stamp)])
            }
            Operation::HistoryBegan { topic, epoch } => {
                self.run(Sql::NameHistory, params![&**topic, int(*epoch)])
            }
            Operation::HistoryTrimmed { topic, first } => {
                self.run(Sql::BeginHistory, params![&**topic, int(*first)])?;
                self.run(Sql::TrimHistory, params![&**topic, int(*first)])
            }
        }
    }

    fn time(&self, at: Instant) -> i64 {
        int(self.calendar.unix_ms(at))
    }

    fn remove_session(&mut self, session: i64) -> rusqlite::Result<()> {
        self.run(Sql::RemoveSubscriptions, [session])?;
        self.run(Sql::RemoveDeliveries, [session])?;
        self.run(Sql::RemoveReceived, [session])?;
        self.run(Sql::RemoveSession, [session])
    }

    fn add_subscription(
        &mut self,
        session: i64,
        sid: i64,
        filter: &str,
        options: &SubscribeOptions,
    ) -> rusqlite::Result<()> {
        // Named one by one, so that none is forgotten when there are more.
        let SubscribeOptions { quality, credit, no_local, serve, retain_as_published, retained } = options;
        let (qos, credit, handling) = (quality.number(), credit.map(int), retained.number());
        let row = params![session, sid, filter, qos, credit, no_local, serve, retain_as_published, handling];
        self.run(Sql::AddSubscription, row)
    }

    fn add_message(&mut self, message: i64, content: &Message) -> rusqlite::Result<()> {
        let Parts { topic, payload, head } = Parts::of(content);
        let (qos, properties, retain) =
            (content.quality().number(), content.has_props(), content.is_retain());
        let expires = content.expires().map(|at| self.time(at));
        let row = params![message, topic, payload, head, properties, qos, retain, expires];
        self.run(Sql::AddMessage, row)
    }
}
