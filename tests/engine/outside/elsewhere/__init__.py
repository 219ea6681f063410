"""Six things from one package outside: a codec, a metric, a data set, a producer, a task, an executor."""
