//! PRX1 on the hub.
