//! An MQTT client against the server's side.
#![cfg_attr(fuzzing, no_main)]

bowline_fuzz::fuzz!(mqtt_pair);
