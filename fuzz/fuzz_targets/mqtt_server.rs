//! A whole server among honest clients of MQTT, liars and noise.
#![cfg_attr(fuzzing, no_main)]

bowline_fuzz::fuzz!(mqtt_server);
