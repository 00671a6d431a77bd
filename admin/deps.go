package admin

import (
	"context"
	"log/slog"
	"time"

	"github.com/stratahq/strata/access"
	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model/price"
	"github.com/stratahq/strata/money"
)

// Deps is what this interface serves from.
type Deps struct {
	Ledger Ledger
	Access *access.Access
	// DB makes backups; *store.DB does.
	DB Backuper
	// Book is the price book in force.
	Book func() *price.Book
	// Charge rates what a customer pays for a call, given its cost under some
	// book; it applies the configured tariffs. Nil charges the cost.
	Charge func(c *ledger.Call, cost price.Rating) (Charged, error)
	// Models and Status are what the server knows; both may be asked at any time.
	Models func() []Model
	Status func() Status

	// HostAllowed says which Host headers are this server's; nil means loopback
	// names only. [Trusted] requests are not asked.
	HostAllowed func(host string) bool
	// TimeZone is the business time zone; UTC when nil.
	TimeZone *time.Location
	Now      func() time.Time
	Log      *slog.Logger
	// BackupDir is where backups go that name no directory.
	BackupDir string
}

// Backuper copies a running database.
type Backuper interface {
	Backup(ctx context.Context, destFile string) error
}

// Charged is what a customer pays for a call.
type Charged struct {
	Lines  []money.Line
	Amount money.Pico
	Known  bool
	Tariff string
}
