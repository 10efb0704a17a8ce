//! Our MQTT codec against another's.
#![cfg_attr(fuzzing, no_main)]

bowline_fuzz::fuzz!(mqtt_codec);
