package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/stratahq/strata/admin"
	"github.com/stratahq/strata/admin/client"
)

var _ = register(groupMoney, keyCommand)

func keyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "key",
		Short: "Create, list and revoke the keys that clients call with",
		Long: `Keys say who is calling. A key that is bound to a customer can only ever charge
that customer. Only a hash of a key is stored: the secret is printed once.

As long as there is no key, calls from this machine need none. A key that is
created or revoked here holds for the very next call, also of a running server.`,
		Example: `  strata key create --name laptop
  strata key list`,
	}
	c.AddCommand(keyCreateCommand(), keyListCommand(), keyRevokeCommand(), keyAdminCommand())
	return c
}

func keyCreateCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "create",
		Short: "Create a key and print its secret, once",
		Example: `  strata key create --name laptop
  strata key create --name acme-prod --customer acme --json
  export OPENAI_API_KEY=$(strata key create --name script --jq .key)`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			f := cmd.Flags()
			var spec admin.KeySpec
			spec.Name, _ = f.GetString("name")
			spec.Customer, _ = f.GetString("customer")
			spec.Feature, _ = f.GetString("feature")
			spec.LogContent, _ = f.GetBool("log-content")
			spec.Admin, _ = f.GetBool("admin")
			if spec.Name == "" {
				return usagef("a key needs a name by which you will know it: strata key create --name laptop")
			}
			return withAPI(cmd, func(ctx context.Context, c *client.Client) error {
				made, err := c.CreateKey(ctx, spec)
				if err != nil {
					return err
				}
				return p.report(made, func(w io.Writer) {
					fmt.Fprintf(w, "%s\n\n", made.Secret)
					fmt.Fprintf(w, "This is the only time that the secret is shown. The key's ID is %s.\n", made.ID)
					fmt.Fprintf(w, "Limit what it may spend:  strata budget set --key %s --limit 1.00 --period day\n", made.ID)
				})
			})
		},
	}
	f := c.Flags()
	f.String("name", "", "the `name` by which you will know the key")
	f.String("customer", "", "bind the key to this `customer`; it can name no other")
	f.String("feature", "", "the `feature` of its calls, unless a call names another")
	f.Bool("log-content", false, "store what is asked and answered with this key, secrets redacted")
	f.Bool("admin", false, "let the key administer Strata too")
	outputFlags(c)
	return c
}

func keyListCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List keys, without their secrets",
		Example: `  strata key list
  strata key list --all --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			all, _ := cmd.Flags().GetBool("all")
			return withAPI(cmd, func(ctx context.Context, c *client.Client) error {
				answer, err := c.Keys(ctx)
				if err != nil {
					return err
				}
				var keys []admin.Key
				for _, k := range answer {
					if all || k.Revoked == nil {
						keys = append(keys, k)
					}
				}
				if len(keys) == 0 {
					return noDataf("no keys; create one with: strata key create --name laptop")
				}
				zone, err := zoneOf(ctx, c)
				if err != nil {
					return err
				}
				return printList(p, keys, func(w io.Writer) {
					g := newGrid(w, "ID", "Name", "Secret", "Customer", "Feature", "Rights", "Created", "Last used", "Revoked")
					for _, k := range keys {
						rights := "call"
						if k.Admin {
							rights += ", admin"
						}
						if k.LogContent {
							rights += ", content logged"
						}
						g.row(k.ID, k.Name, k.Prefix+"…", or(k.Customer, "any"), or(k.Feature, "-"), rights,
							localTime(k.Created, zone), maybeTime(k.LastUsed, zone), maybeTime(k.Revoked, zone))
					}
					g.print()
				})
			})
		},
	}
	c.Flags().Bool("all", false, "list revoked keys too")
	outputFlags(c)
	return c
}

func keyRevokeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "revoke ID",
		Short:   "Revoke a key; its next call is refused",
		Example: `  strata key revoke key_0193…`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			return withAPI(cmd, func(ctx context.Context, c *client.Client) error {
				k, err := c.RevokeKey(ctx, args[0])
				if err != nil {
					return err
				}
				return p.report(k, func(w io.Writer) {
					fmt.Fprintf(w, "Key %s (%s) is revoked. Its calls stay in the ledger.\n", k.ID, plain(k.Name))
				})
			})
		},
	}
	outputFlags(c)
	return c
}

func keyAdminCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "admin",
		Short: "Print a link that logs a browser in to the console",
		Long: `Print a link that logs a browser in to the console of the running server as its
administrator. The link works once and for a short time; ask for a new one
whenever you need it.`,
		Example: `  strata key admin`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			return withAPI(cmd, func(ctx context.Context, c *client.Client) error {
				if !c.Running() {
					return usagef("no server is running on this data, so there is no console to log in to; start one with: strata up")
				}
				link, err := c.AdminLink(ctx)
				if err != nil {
					return err
				}
				return p.report(link, func(w io.Writer) { fmt.Fprintln(w, link.URL) })
			})
		},
	}
	outputFlags(c)
	return c
}
