"""A client of the Bowline session protocol, written from the specification alone.

The modules, from the bottom up:

* ``wire``    -- types, parameters, properties, names of kinds, codes, statuses (SPEC §1, §3)
* ``topics``  -- topic names and filters (SPEC §1.1)
* ``frame``, ``hello``, ``frames`` -- one class for each kind of frame (SPEC §3 to §9)
* ``flow``    -- credit windows, and the state that outlives a connection (SPEC §4.2, §6, §7)
* ``link``    -- frames in and out, timers, the end (SPEC §2, §3, §8, §9)
* ``opening`` -- the handshake (SPEC §4)
* ``session`` -- one peer as a state machine, without sockets, clock or randomness (SPEC §5 to §7)
* ``scram``   -- SCRAM-SHA-256 (RFC 5802, RFC 7677)
* ``client``  -- a blocking client over TCP or a Unix socket
"""
