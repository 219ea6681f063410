"""One file per data set: finds, downloads, checks, yields Utterances."""
