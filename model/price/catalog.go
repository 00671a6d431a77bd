package price

import "sync"

var catalog = sync.OnceValue(func() *Book {
	return &Book{Name: "catalog", load: func() []*Card { return nil }}
})

// Catalog is the embedded price book. It is read on first use.
func Catalog() *Book { return catalog() }
