"""The closed loop: scenes in, rules, mined lists, trained, evaluated and released models."""
