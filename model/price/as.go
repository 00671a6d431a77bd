package price

// As is the same price for another provider's model: a user's price for a served
// name holds for whatever the name leads to. The version stays, since it names
// the price and not the model.
func (c *Card) As(provider, model string) *Card {
	return &Card{
		Provider: provider, Model: model,
		From: c.From, Until: c.Until, FromOnOrBefore: c.FromOnOrBefore,
		Version: c.Version, Source: c.Source, Facts: c.Facts,
		Base: c.Base, CacheModes: c.CacheModes, ServiceTiers: c.ServiceTiers, Tiers: c.Tiers, Windows: c.Windows,
		Batch: c.Batch, BatchMultiplier: c.BatchMultiplier, GeoMultipliers: c.GeoMultipliers,
		MinimumUnits: c.MinimumUnits, Fallback: c.Fallback, RequestFeeBySize: c.RequestFeeBySize,
		Reported: c.Reported, Notes: c.Notes,
	}
}
