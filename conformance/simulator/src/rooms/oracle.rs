//! What must be true of a room, whatever the server does and however often it dies: known from what
//! applications called and were told, and nothing else.

use std::collections::BTreeMap;

/// A place: epoch and offset.
pub(super) type Place = (u64, u64);

/// What an application is told.
#[derive(Clone, Debug)]
pub(super) enum Told {
    Joined {
        place: Place,
        recovered: bool,
        member: String,
    },
    Message {
        place: Place,
        number: u64,
        missed: u64,
    },
    /// Who is there: all of them.
    Members(Vec<String>),
    Came(String),
    Went(String),
    /// What was sent is taken; a page learns where.
    Accepted {
        number: u64,
        place: Option<Place>,
    },
    /// It is not taken.
    Refused {
        number: u64,
    },
    /// The session is another: what is not accepted is sent anew.
    Lost,
}

/// A message as its sender knows it.
#[derive(Clone, Debug, Default)]
struct Sent {
    by: usize,
    accepted: bool,
    void: bool,
    /// So many times it may be in the room: one more for each session of its sender that was lost
    /// before it was accepted, and for each server that died.
    times: u64,
}

/// What one member sees.
#[derive(Debug, Default)]
pub(super) struct Sight {
    pub(super) joined: bool,
    pub(super) name: String,
    pub(super) members: Vec<String>,
    /// The offset of the message that came last; nothing: what comes next is not known.
    last: Option<u64>,
    /// Messages without a gap, up to the last one.
    run: Vec<(u64, u64)>,
    pub(super) newest: u64,
}

#[derive(Debug, Default)]
pub(super) struct Oracle {
    sent: Vec<Sent>,
    pub(super) sights: Vec<Sight>,
    /// What stands at each place.
    places: BTreeMap<Place, u64>,
    /// At how many places of an epoch a message stands.
    standing: BTreeMap<(u64, u64), u64>,
    pub(super) delivered: u64,
    pub(super) recovered: u64,
    pub(super) unrecovered: u64,
    lossless: bool,
}

impl Oracle {
    pub(super) fn new(members: usize, lossless: bool) -> Self {
        let sights = (0..members).map(|_| Sight::default()).collect();
        Self { sights, lossless, ..Self::default() }
    }

    /// The number of a message that is about to be sent.
    pub(super) const fn next(&self) -> u64 {
        self.sent.len() as u64
    }

    pub(super) fn sends(&mut self, by: usize) {
        self.sent.push(Sent { by, times: 1, ..Sent::default() });
    }

    pub(super) const fn count(&self) -> u64 {
        self.sent.len() as u64
    }

    /// What one has sent that is not accepted may be in the room once more.
    pub(super) fn session_lost(&mut self, by: usize) {
        let open = self.sent.iter_mut().filter(|s| s.by == by && !s.accepted);
        open.for_each(|s| s.times += 1);
    }

    /// What is not accepted may be in the room, and is sent again to who knows nothing of that.
    pub(super) fn server_died(&mut self) {
        self.sent.iter_mut().filter(|s| !s.accepted).for_each(|s| s.times += 1);
    }

    /// Whether nobody waits to hear what became of what he sent.
    pub(super) fn is_settled(&self) -> bool {
        self.sent.iter().all(|s| s.accepted || s.void)
    }

    pub(super) fn open(&self) -> usize {
        self.sent.iter().filter(|s| !s.accepted && !s.void).count()
    }

    fn stands(&mut self, place: Place, number: u64) -> Result<(), String> {
        match self.places.insert(place, number) {
            Some(known) if known == number => return Ok(()),
            Some(known) => {
                return Err(format!("two messages at one place: {known} and {number} at {place:?}"));
            }
            None => {}
        }
        let times = self.standing.entry((place.0, number)).or_default();
        *times += 1;
        match self.sent.get(number as usize) {
            Some(sent) if *times > sent.times => {
                Err(format!("duplicate: message {number} is in the room {times} times"))
            }
            _ => Ok(()),
        }
    }

    /// A member is told something.
    pub(super) fn told(&mut self, c: usize, told: &Told) -> Result<(), String> {
        match told {
            Told::Message { place, number, missed } => return self.message(c, *place, *number, *missed),
            Told::Accepted { number, place } => {
                let sent = self.sent.get_mut(*number as usize).ok_or("nobody sent what was accepted")?;
                sent.accepted = true;
                if let Some(place) = place {
                    return self.stands(*place, *number);
                }
            }
            Told::Refused { number } => {
                if let Some(sent) = self.sent.get_mut(*number as usize) {
                    sent.void = true;
                }
            }
            Told::Lost => self.session_lost(c),
            Told::Joined { place, recovered, member } => {
                let sight = &mut self.sights[c];
                (sight.joined, sight.name) = (true, member.clone());
                if *recovered {
                    self.recovered += 1;
                    // Where nothing came since it joined, it had what was there then.
                    sight.last.get_or_insert(sight.newest);
                } else {
                    self.unrecovered += 1;
                    sight.last = None;
                    sight.run.clear();
                    sight.newest = place.1;
                }
                sight.members.clear();
            }
            Told::Members(all) => self.sights[c].members.clone_from(all),
            Told::Came(member) => {
                let members = &mut self.sights[c].members;
                if !members.contains(member) {
                    members.push(member.clone());
                }
            }
            Told::Went(member) => self.sights[c].members.retain(|m| m != member),
        }
        Ok(())
    }

    fn message(&mut self, c: usize, place: Place, number: u64, missed: u64) -> Result<(), String> {
        self.delivered += 1;
        if number >= self.count() {
            return Err(format!("member {c} got message {number}, which nobody sent"));
        }
        self.stands(place, number)?;
        let sight = &mut self.sights[c];
        let offset = place.1;
        if let Some(last) = sight.last {
            if offset <= last {
                return Err(format!("duplicate: member {c} got offset {offset} behind {last}"));
            }
            if offset != last + 1 && (self.lossless || offset != last + 1 + missed) {
                return Err(format!("gap: member {c} got offset {offset} behind {last}, {missed} missed"));
            }
            if offset != last + 1 {
                sight.run.clear();
            }
        }
        sight.run.push((offset, number));
        sight.last = Some(offset);
        sight.newest = offset;
        Ok(())
    }

    /// A member that joined an empty room, or read nothing back, misses nothing from there on.
    pub(super) fn at(&mut self, c: usize, offset: u64) {
        let sight = &mut self.sights[c];
        if sight.last.is_none() {
            sight.last = Some(offset);
        }
    }

    /// All is at rest: is what the room keeps, from offset `first` on, what everyone saw?
    pub(super) fn judge(&self, first: u64, kept: &[u64]) -> Result<(), String> {
        let mut times = BTreeMap::new();
        for number in kept {
            *times.entry(*number).or_insert(0u64) += 1;
        }
        for (number, sent) in self.sent.iter().enumerate() {
            let times = times.get(&(number as u64)).copied().unwrap_or(0);
            if sent.accepted && times == 0 && first == 1 {
                return Err(format!("lost: message {number} was accepted, and the room does not have it"));
            }
            if times > sent.times {
                return Err(format!("duplicate: message {number} is in the room {times} times"));
            }
        }
        let newest = first + kept.len() as u64 - 1;
        for (c, sight) in self.sights.iter().enumerate().filter(|(_, s)| s.joined) {
            if self.lossless && sight.newest != newest {
                return Err(format!("lost: member {c} is at {}, the room at {newest}", sight.newest));
            }
            for (offset, number) in &sight.run {
                if let Some(at) = offset.checked_sub(first)
                    && kept.get(at as usize) != Some(number)
                {
                    return Err(format!("member {c} got {number} at {offset}, where the room has another"));
                }
            }
        }
        let mut names: Vec<_> = self.sights.iter().filter(|s| s.joined).map(|s| s.name.clone()).collect();
        names.sort();
        for (c, sight) in self.sights.iter().enumerate().filter(|(_, s)| s.joined) {
            let mut members = sight.members.clone();
            members.sort();
            if members != names {
                return Err(format!("presence: member {c} sees {members:?}, and there are {names:?}"));
            }
        }
        Ok(())
    }
}
