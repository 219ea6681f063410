"""Fetching: weights of codecs and of metrics, and archives of data sets, over one downloader and one record of digests.

homes      where downloads lie, and the switches that forbid the network
files      locks, small files written whole, and the record of digests that were seen
download   one file from one URL: resumed, checked, atomic, once for all processes
hub        files of a Hugging Face repository at one commit
sources    where the files of one set of weights may come from
weights    the weights of a codec's operating point, by kind or by digest
pickles    official checkpoints that are pickles, converted to safetensors
archives   data sets' archives: fetched, checked, unpacked whole or not at all
"""
