// Package server puts a running Strata together from its configuration: the
// data directory and its lock, the database, the ledger, keys, prices, the
// served models, the gateway, the console and the administrative interface. It
// alone may import everything; nothing but the command line imports it.
package server
