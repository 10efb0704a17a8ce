//! What a store holds, as operations.

use bowline_core::hub::{Message, Operation, Quality, QueueOptions, SubscribeOptions};
use bowline_driver::store::Calendar;
use hashbrown::HashSet;
use rusqlite::{Connection, Row};

use crate::columns::{damaged, duration, listed, message, retain_handling, text};
use crate::error::StoreError;
use crate::schema::NO_MESSAGE;
use crate::store::Store;

/// Half of all delivery numbers: those of one session are never as far apart, unless they have begun
/// again at 0 between.
const HALF: u32 = 1 << 31;

impl Store {
    /// Tells `each` the fewest operations that lead a new hub to what is stored, all of one moment:
    /// messages before what refers to them, sessions before what is theirs, deliveries in the order in
    /// which they were queued. A delivery whose message is not needed any more refers to an empty one
    /// with the number 0.
    ///
    /// # Errors
    ///
    /// It cannot be read; some of it was told then. What refers to something that is missing is told as
    /// it is: the hub says so.
    pub fn load(&mut self, calendar: Calendar, each: impl FnMut(Operation)) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        let mut loader = Loader { connection: &transaction, calendar, each };
        loader.messages()?;
        loader.sessions()?;
        loader.subscriptions()?;
        loader.received()?;
        loader.queues()?;
        loader.tasks()?;
        loader.deliveries()?;
        loader.retained()?;
        loader.history()
    }
}

struct Loader<'c, F> {
    connection: &'c Connection,
    calendar: Calendar,
    each: F,
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

    fn messages(&mut self) -> Result<(), StoreError> {
        self.rows("SELECT 1 FROM deliveries WHERE released LIMIT 1", |loader, _| {
            let content = Message::response("");
            (loader.each)(Operation::MessageAdded { message: NO_MESSAGE, content });
            Ok(())
        })?;
        let sql = "SELECT message, topic, payload, head, has_properties, qos, retain, expires_at \
                   FROM messages ORDER BY message";
        self.rows(sql, |loader, row| {
            let content = message(row, loader.calendar)?;
            (loader.each)(Operation::MessageAdded { message: number(row, 0)?, content });
            Ok(())
        })
    }

    fn sessions(&mut self) -> Result<(), StoreError> {
        let sql = "SELECT session, name, identity, expiry, ends_at, will, will_delay FROM sessions \
                   ORDER BY session";
        self.rows(sql, |loader, row| {
            let (session, expiry) = (number(row, 0)?, duration(row.get(3)?));
            let (name, identity) = (text(row, 1)?, text(row, 2)?);
            (loader.each)(Operation::SessionCreated { session, name, identity, expiry });
            if let Some(at) = row.get::<_, Option<i64>>(4)? {
                let ends = Some(loader.calendar.instant(at.cast_unsigned()));
                (loader.each)(Operation::SessionChanged { session, expiry, ends });
            }
            if let Some(message) = row.get::<_, Option<i64>>(5)? {
                let will = Some((message.cast_unsigned(), duration(row.get(6)?)));
                (loader.each)(Operation::WillChanged { session, will });
            }
            Ok(())
        })
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
            let session = number(row, 0)?;
            let (sid, filter) = (number(row, 1)?, text(row, 2)?);
            (loader.each)(Operation::SubscriptionAdded { session, sid, filter, options });
            Ok(())
        })
    }

    fn received(&mut self) -> Result<(), StoreError> {
        self.rows("SELECT session, id FROM received", |loader, row| {
            let session = number(row, 0)?;
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
            (loader.each)(Operation::QueueAdded { queue, options });
            Ok(())
        })
    }

    fn tasks(&mut self) -> Result<(), StoreError> {
        let sql = "SELECT queue, task, message, attempts FROM tasks ORDER BY queue, task";
        self.rows(sql, |loader, row| {
            let queue = text(row, 0)?;
            let (task, message) = (number(row, 1)?, number(row, 2)?);
            (loader.each)(Operation::TaskAdded { queue, task, message, attempts: row.get(3)? });
            Ok(())
        })
    }

    fn deliveries(&mut self) -> Result<(), StoreError> {
        let wrapped = self.wrapped()?;
        // Those whose numbers have begun again, until all before were told.
        let mut later: Vec<(u64, Operation)> = Vec::new();
        let mut released = Vec::new();
        let sql = "SELECT session, number, message, sid, others, qos, retain, released \
                   FROM deliveries ORDER BY session, number";
        self.rows(sql, |loader, row| {
            let (session, at) = (number(row, 0)?, row.get(1)?);
            if later.first().is_some_and(|(of, _)| *of != session) {
                later.drain(..).for_each(|(_, queued)| (loader.each)(queued));
            }
            if row.get(7)? {
                released.push(Operation::Released { session, number: at });
            }
            let queued = delivery(row, session, at)?;
            if at < HALF && wrapped.contains(&session) {
                later.push((session, queued));
            } else {
                (loader.each)(queued);
            }
            Ok(())
        })?;
        later.into_iter().for_each(|(_, queued)| (self.each)(queued));
        self.rows("SELECT session, sent FROM sessions WHERE sent IS NOT NULL", |loader, row| {
            (loader.each)(Operation::Sent { session: number(row, 0)?, number: row.get(1)? });
            Ok(())
        })?;
        released.into_iter().for_each(&mut self.each);
        Ok(())
    }

    /// The sessions among whose deliveries the numbers have begun again at 0.
    fn wrapped(&mut self) -> Result<HashSet<u64>, StoreError> {
        let mut wrapped = HashSet::new();
        let sql = format!(
            "SELECT session FROM sessions WHERE \
             (SELECT max(number) FROM deliveries WHERE deliveries.session = sessions.session) - \
             (SELECT min(number) FROM deliveries WHERE deliveries.session = sessions.session) >= {HALF}"
        );
        self.rows(&sql, |_, row| {
            wrapped.insert(number(row, 0)?);
            Ok(())
        })?;
        Ok(wrapped)
    }

    fn retained(&mut self) -> Result<(), StoreError> {
        self.rows("SELECT topic, message FROM retained", |loader, row| {
            (loader.each)(Operation::Retained { message: number(row, 1)?, topic: text(row, 0)? });
            Ok(())
        })
    }

    fn history(&mut self) -> Result<(), StoreError> {
        let sql = "SELECT topic, epoch FROM history_begins WHERE epoch IS NOT NULL AND first > 0";
        self.rows(sql, |loader, row| {
            (loader.each)(Operation::HistoryBegan { topic: text(row, 0)?, epoch: number(row, 1)? });
            Ok(())
        })?;
        let sql = "SELECT topic, offset, message, stamp FROM history ORDER BY topic, offset";
        self.rows(sql, |loader, row| {
            let (topic, offset) = (text(row, 0)?, number(row, 1)?);
            let (message, stamp) = (number(row, 2)?, number(row, 3)?);
            (loader.each)(Operation::Recorded { message, topic, offset, stamp });
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

fn delivery(row: &Row<'_>, session: u64, at: u32) -> Result<Operation, StoreError> {
    let others = row.get_ref(4)?.as_str_or_null().map_err(|_| damaged("deliveries.others"))?;
    Ok(Operation::Queued {
        session,
        number: at,
        message: number(row, 2)?,
        sid: number(row, 3)?,
        others: listed(others)?,
        quality: Quality::from_number(row.get(5)?),
        retain: row.get(6)?,
    })
}

fn number(row: &Row<'_>, column: usize) -> Result<u64, StoreError> {
    Ok(row.get::<_, i64>(column)?.cast_unsigned())
}
