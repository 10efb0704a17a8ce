//! What a store holds, as operations.

use bowline_core::hub::{Operation, Quality, QueueOptions, SubscribeOptions};
use bowline_driver::store::Calendar;
use hashbrown::{HashMap, HashSet};
use rusqlite::{Connection, Row, TransactionBehavior};

use crate::columns::{damaged, duration, listed, message, retain_handling, text};
use crate::error::StoreError;
use crate::schema::REFERENCES;
use crate::store::Store;

/// Half of all delivery numbers: those of one session are never as far apart, unless they have begun
/// again at 0 between.
const HALF: u32 = 1 << 31;

impl Store {
    /// Tells `each` the fewest operations that lead a new hub to what is stored: messages before what
    /// refers to them, sessions before what is theirs, deliveries in the order in which they were queued.
    ///
    /// A message that nothing refers to is removed, not told.
    ///
    /// # Errors
    ///
    /// It cannot be read, or refers to something that it does not hold; some of it was told then.
    pub fn load(&mut self, calendar: Calendar, each: impl FnMut(Operation)) -> Result<(), StoreError> {
        let writes = self.lock.is_some();
        let behavior = if writes { TransactionBehavior::Immediate } else { TransactionBehavior::Deferred };
        let transaction = self.connection.transaction_with_behavior(behavior)?;
        let mut loader = Loader {
            connection: &transaction,
            calendar,
            each,
            sent: HashMap::new(),
            queues: HashSet::new(),
            stale: Vec::new(),
        };
        let orphans = loader.messages()?;
        loader.sessions()?;
        loader.subscriptions()?;
        loader.received()?;
        loader.queues()?;
        loader.tasks()?;
        loader.deliveries()?;
        loader.retained()?;
        loader.history()?;
        let stale = loader.stale;
        if writes && !(orphans.is_empty() && stale.is_empty()) {
            for message in orphans {
                transaction.prepare_cached("DELETE FROM messages WHERE message = ?")?.execute([message])?;
            }
            for (session, sent) in stale {
                let sql = "UPDATE sessions SET sent = ? WHERE session = ?";
                transaction.prepare_cached(sql)?.execute((sent, session))?;
            }
            transaction.commit()?;
        }
        Ok(())
    }
}

struct Loader<'c, F> {
    connection: &'c Connection,
    calendar: Calendar,
    each: F,
    /// Every session, and the last delivery that was sent to it.
    sent: HashMap<i64, Option<u32>>,
    queues: HashSet<Box<str>>,
    /// Sessions whose `sent` is not that of a delivery any more, and what it is to be: a hub counts on
    /// from the deliveries that it is told, so another one may get the number.
    stale: Vec<(i64, Option<u32>)>,
}

impl<F: FnMut(Operation)> Loader<'_, F> {
    /// Calls `row` for each row.
    fn rows(
        &mut self,
        sql: &str,
        mut row: impl FnMut(&mut Self, &Row<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(next) = rows.next()? {
            row(self, next)?;
        }
        Ok(())
    }

    /// All messages that something refers to; gives the others.
    fn messages(&mut self) -> Result<Vec<i64>, StoreError> {
        let mut referred = self.references()?.into_iter().peekable();
        let mut orphans = Vec::new();
        let sql = "SELECT message, topic, payload, head, has_properties, qos, retain, expires_at \
                   FROM messages ORDER BY message";
        self.rows(sql, |loader, row| {
            let number = row.get(0)?;
            match referred.next_if(|next| *next <= number) {
                Some(next) if next == number => {
                    let content = message(row, loader.calendar)?;
                    (loader.each)(Operation::MessageAdded { message: number.cast_unsigned(), content });
                }
                Some(missing) => return Err(dangling(missing)),
                None => orphans.push(number),
            }
            Ok(())
        })?;
        referred.next().map_or(Ok(orphans), |missing| Err(dangling(missing)))
    }

    /// The numbers of all messages that something refers to, in order.
    fn references(&mut self) -> Result<Vec<i64>, StoreError> {
        let mut referred = Vec::new();
        for (table, column) in REFERENCES {
            let sql = format!("SELECT {column} FROM {table} WHERE {column} IS NOT NULL");
            self.rows(&sql, |_, row| {
                referred.push(row.get(0)?);
                Ok(())
            })?;
        }
        referred.sort_unstable();
        referred.dedup();
        Ok(referred)
    }

    fn sessions(&mut self) -> Result<(), StoreError> {
        let sql = "SELECT session, name, identity, expiry, ends_at, sent, will, will_delay FROM sessions \
                   ORDER BY session";
        self.rows(sql, |loader, row| {
            let number: i64 = row.get(0)?;
            let (session, expiry) = (number.cast_unsigned(), duration(row.get(3)?));
            let (name, identity) = (text(row, 1)?, text(row, 2)?);
            (loader.each)(Operation::SessionCreated { session, name, identity, expiry });
            if let Some(at) = row.get::<_, Option<i64>>(4)? {
                let ends = Some(loader.calendar.instant(at.cast_unsigned()));
                (loader.each)(Operation::SessionChanged { session, expiry, ends });
            }
            if let Some(message) = row.get::<_, Option<i64>>(6)? {
                let will = Some((message.cast_unsigned(), duration(row.get(7)?)));
                (loader.each)(Operation::WillChanged { session, will });
            }
            loader.sent.insert(number, row.get(5)?);
            Ok(())
        })
    }

    fn session(&self, row: &Row<'_>, table: &str) -> Result<u64, StoreError> {
        let session: i64 = row.get(0)?;
        if self.sent.contains_key(&session) {
            return Ok(session.cast_unsigned());
        }
        Err(StoreError::Dangling(format!("{table} of session {session}, which there is not")))
    }

    fn subscriptions(&mut self) -> Result<(), StoreError> {
        let sql = "SELECT session, sid, filter, qos, credit, no_local, serves, retain_as_published, \
                   retain_handling FROM subscriptions";
        self.rows(sql, |loader, row| {
            let options = SubscribeOptions {
                quality: Quality::from_number(row.get(3)?),
                credit: row.get::<_, Option<i64>>(4)?.map(i64::cast_unsigned),
                no_local: row.get(5)?,
                serve: row.get(6)?,
                retain_as_published: row.get(7)?,
                retained: retain_handling(row.get(8)?),
            };
            let session = loader.session(row, "a subscription")?;
            let (sid, filter) = (number(row, 1)?, text(row, 2)?);
            (loader.each)(Operation::SubscriptionAdded { session, sid, filter, options });
            Ok(())
        })
    }

    fn received(&mut self) -> Result<(), StoreError> {
        self.rows("SELECT session, id FROM received", |loader, row| {
            let session = loader.session(row, "an id received")?;
            (loader.each)(Operation::Received { session, id: row.get(1)? });
            Ok(())
        })
    }

    fn queues(&mut self) -> Result<(), StoreError> {
        self.rows("SELECT queue, max_tasks, max_bytes, max_attempts FROM queues", |loader, row| {
            let queue = text(row, 0)?;
            let options = QueueOptions {
                max_tasks: row.get(1)?,
                max_bytes: number(row, 2)?,
                max_attempts: row.get(3)?,
            };
            loader.queues.insert(queue.clone());
            (loader.each)(Operation::QueueAdded { queue, options });
            Ok(())
        })
    }

    fn tasks(&mut self) -> Result<(), StoreError> {
        let sql = "SELECT queue, task, message, attempts FROM tasks ORDER BY queue, task";
        self.rows(sql, |loader, row| {
            let queue = text(row, 0)?;
            if !loader.queues.contains(&queue) {
                return Err(StoreError::Dangling(format!("a task of queue {queue}, which there is not")));
            }
            let (task, message) = (number(row, 1)?, number(row, 2)?);
            (loader.each)(Operation::TaskAdded { queue, task, message, attempts: row.get(3)? });
            Ok(())
        })
    }

    fn deliveries(&mut self) -> Result<(), StoreError> {
        let wrapped = self.wrapped()?;
        let mut group: Option<Group> = None;
        let sql = "SELECT session, number, message, sid, others, qos, retain, released, queue, task \
                   FROM deliveries ORDER BY session, number";
        self.rows(sql, |loader, row| {
            let session = loader.session(row, "a delivery")?;
            if group.as_ref().is_none_or(|group| group.session != session) {
                if let Some(done) = group.take() {
                    loader.end(done);
                }
                let key = session.cast_signed();
                let sent = loader.sent.get(&key).copied().flatten();
                group = Some(Group::new(session, sent, wrapped.contains(&key)));
            }
            let Some(group) = &mut group else { return Ok(()) };
            let number: u32 = row.get(1)?;
            let queued = delivery(row, session, number)?;
            if row.get(7)? {
                group.released.push(number);
            }
            if group.wrapped && number < HALF {
                group.later.push((number, queued));
            } else {
                group.mark(number);
                (loader.each)(queued);
            }
            Ok(())
        })?;
        if let Some(done) = group {
            self.end(done);
        }
        // Sessions to which nothing is on its way have sent nothing that comes again.
        let left = self.sent.drain().filter_map(|(session, sent)| sent.map(|_| (session, None)));
        self.stale.extend(left);
        Ok(())
    }

    /// The sessions among whose deliveries the numbers have begun again at 0.
    fn wrapped(&mut self) -> Result<HashSet<i64>, StoreError> {
        let mut wrapped = HashSet::new();
        let sql = format!(
            "SELECT session FROM sessions WHERE \
             (SELECT max(number) FROM deliveries WHERE deliveries.session = sessions.session) - \
             (SELECT min(number) FROM deliveries WHERE deliveries.session = sessions.session) >= {HALF}"
        );
        self.rows(&sql, |_, row| {
            wrapped.insert(row.get(0)?);
            Ok(())
        })?;
        Ok(wrapped)
    }

    /// All of a session's deliveries were read: tells what is left, and how far they are.
    fn end(&mut self, mut group: Group) {
        for (number, queued) in std::mem::take(&mut group.later) {
            group.mark(number);
            (self.each)(queued);
        }
        let session = group.session;
        if let Some(number) = group.last_sent {
            (self.each)(Operation::Sent { session, number });
        }
        for number in group.released {
            (self.each)(Operation::Released { session, number });
        }
        self.sent.remove(&session.cast_signed());
        if group.last_sent != group.sent {
            self.stale.push((session.cast_signed(), group.last_sent));
        }
    }

    fn retained(&mut self) -> Result<(), StoreError> {
        self.rows("SELECT topic, message FROM retained", |loader, row| {
            (loader.each)(Operation::Retained { message: number(row, 1)?, topic: text(row, 0)? });
            Ok(())
        })
    }

    fn history(&mut self) -> Result<(), StoreError> {
        let sql = "SELECT topic, offset, message, published_at FROM history ORDER BY topic, offset";
        self.rows(sql, |loader, row| {
            let (topic, offset) = (text(row, 0)?, number(row, 1)?);
            let (message, at) = (number(row, 2)?, number(row, 3)?);
            (loader.each)(Operation::Recorded { message, topic, offset, at });
            Ok(())
        })?;
        // Where something is kept, its first offset says where the history begins.
        let sql = "SELECT topic, first FROM history_begins AS begins \
                   WHERE NOT EXISTS (SELECT 1 FROM history WHERE history.topic = begins.topic)";
        self.rows(sql, |loader, row| {
            (loader.each)(Operation::HistoryTrimmed { topic: text(row, 0)?, first: number(row, 1)? });
            Ok(())
        })
    }
}

/// The deliveries of one session, while they are read.
struct Group {
    session: u64,
    sent: Option<u32>,
    /// Numbers have begun again at 0 among them.
    wrapped: bool,
    /// Those since then.
    later: Vec<(u32, Operation)>,
    /// The last one that was sent.
    last_sent: Option<u32>,
    released: Vec<u32>,
}

impl Group {
    fn new(session: u64, sent: Option<u32>, wrapped: bool) -> Self {
        Self { session, sent, wrapped, later: Vec::new(), last_sent: None, released: Vec::new() }
    }

    /// The next in order is this one: it was sent if it is not behind the last that was.
    fn mark(&mut self, number: u32) {
        if self.sent.is_some_and(|sent| is_up_to(number, sent)) {
            self.last_sent = Some(number);
        }
    }
}

/// Whether a delivery's number is at or before another's, where they begin again at 0.
const fn is_up_to(number: u32, last: u32) -> bool {
    last.wrapping_sub(number) < HALF
}

fn delivery(row: &Row<'_>, session: u64, at: u32) -> Result<Operation, StoreError> {
    let others = row.get_ref(4)?.as_str_or_null().map_err(|_| damaged("deliveries.others"))?;
    let task = match row.get::<_, Option<i64>>(9)? {
        Some(task) => Some((text(row, 8)?, task.cast_unsigned())),
        None => None,
    };
    Ok(Operation::Queued {
        session,
        number: at,
        message: number(row, 2)?,
        sid: number(row, 3)?,
        others: listed(others)?,
        quality: Quality::from_number(row.get(5)?),
        retain: row.get(6)?,
        task,
    })
}

fn number(row: &Row<'_>, column: usize) -> Result<u64, StoreError> {
    Ok(row.get::<_, i64>(column)?.cast_unsigned())
}

fn dangling(message: i64) -> StoreError {
    StoreError::Dangling(format!("message {message} is referred to and not there"))
}
