// What every page runs: keys, live figures, charts. Each in a module of its own.
