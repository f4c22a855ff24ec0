// cli_pools.go: the verb pools, which tells who has the places of pools and who waits for them; and the setting of that
// name, which says how many places each has.

package main

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
)

// poolsMaxDeclared is how many pools the setting may name; more are refused.
const poolsMaxDeclared = 1000

// poolsVerb is the entry of `pools`.
func poolsVerb() cliVerb {
	return cliVerb{name: "pools", args: "[POOL]", help: "list pools, who has their places, and who waits for them",
		run: doPools, flags: func(f *cliFlags) { f.count(20, "at most `N` holders and as many waiters of each") },
		more: `
A pool has the places that the principal's configuration declares (pools: {database: 2}), and one if it declares none.
Runs of workflows that name a pool (pool: database) wait in the queue until it has a place for them, and tasks that name
one wait before each attempt. With POOL only pools whose name has that in it, or matches it as a glob.`,
		examples: []string{
			"cdktr pools",
			"cdktr pools database -n 500",
			"cdktr pools --json | jq -r 'select(.waiting > 0) | \"\\(.pool) \\(.waiting)\"'",
		}}
}

func doPools(ctx context.Context, c *cli, args []string) error {
	if len(args) > 1 {
		return usageError("pools takes one POOL, or none")
	}
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.close()
	var pools []PoolInfo
	if err := conn.askAll(ctx, Request{Op: "pools", Pattern: strings.Join(args, ""), N: protoCountOf(c.flags.n)},
		func(r *Reply) error {
			pools = append(pools, r.Pools...)
			return nil
		}); err != nil {
		return err
	}
	p, now := c.painter(), time.Now()
	var rows [][]tableCell
	for i := range pools {
		if c.flags.json {
			if err := printJSON(c.out, &pools[i]); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, poolRows(&pools[i], now)...)
	}
	switch {
	case c.flags.json:
		return nil
	case len(pools) == 0 && len(args) > 0:
		var names []string
		if r, err := c.ask(ctx, Request{Op: "pools", N: protoNone}); err == nil {
			for i := range r.Pools {
				names = append(names, r.Pools[i].Pool)
			}
		}
		return printText(c.out, fmt.Sprintf("no pool is called %q%s", textHead(args[0], cliEchoMost),
			orDefault(nearHint(args[0], names), ": cdktr pools lists them")))
	case len(pools) == 0:
		return printText(c.out, "there are no pools: no workflow names one, and the configuration declares none")
	}
	return p.table([]string{"POOL", "TAKEN", "USE", "RUN", "WHERE", "PLACES", "SINCE", "AGENT", "REASON"}, rows)
}

// poolRows makes the rows of a pool: one for each who has places or waits, or one that says that nobody does.
func poolRows(pl *PoolInfo, now time.Time) (rows [][]tableCell) {
	row := func(use tableCell, run, workflow, places, since, agent, reason string) {
		rows = append(rows, []tableCell{{text: pl.Pool}, cell("%d/%d", pl.Taken, pl.Places), use, {text: run},
			{text: workflow}, {text: places}, {text: since}, {text: orDefault(agent, "-")}, {text: reason}})
	}
	for _, kind := range []struct {
		use  tableCell
		what string
		all  int
		uses []PoolUse
	}{{tableCell{"* holds", colorCyan}, "hold", pl.Holding, pl.Holders},
		{tableCell{". waits", colorDim}, "wait", pl.Waiting, pl.Waiters}} {
		for _, u := range kind.uses {
			row(kind.use, u.Run, u.where(), strconv.Itoa(u.Places), timeText(u.Since, now), u.Agent, u.Reason)
		}
		if more := kind.all - len(kind.uses); more > 0 {
			row(tableCell{"  ...", colorDim}, "-", "-", "-", "-", "", fmt.Sprintf("%d more %s", more, kind.what))
		}
	}
	if len(rows) == 0 {
		why := ""
		if !pl.Declared {
			why = "not declared: one place"
		} else if pl.Workflows == 0 {
			why = "no workflow names it"
		}
		row(tableCell{"- free", colorDim}, "-", "-", "-", "-", "", why)
	}
	return rows
}

// poolsFor gives each pool that files name its places in a process of its own, where a run shares them with nobody but
// those that it starts: as many as are declared, or as one of the files wants at once.
func poolsFor(files []workflowFile, declared map[string]int) map[string]int {
	places := maps.Clone(declared)
	for i := range files {
		files[i].Spec.eachPool(func(name string, n int) { places[name] = max(places[name], n) })
	}
	return places
}

// pools reads how many places pools have: the setting is database=2,tape=1.
func (c *config) pools() (map[string]int, error) {
	pools := map[string]int{}
	for _, pair := range strings.FieldsFunc(c.get("pools"), func(r rune) bool { return r == ',' }) {
		name, text, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if !ok {
			return nil, usageError("pools: want NAME=PLACES, not %q", textHead(pair, cliEchoMost))
		}
		if err := poolNameFault(name); err != nil {
			return nil, usageError("pools: %w", err)
		}
		places, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || places < 1 || places > poolMaxPlaces {
			return nil, usageError("pools: %s: want a number of places from 1 to %d, not %q", name, poolMaxPlaces,
				textHead(text, cliEchoMost))
		}
		if _, twice := pools[name]; twice {
			return nil, usageError("pools: %s is there twice", name)
		}
		pools[name] = places
	}
	if len(pools) > poolsMaxDeclared {
		return nil, usageError("pools: there are %d, and there may be %d", len(pools), poolsMaxDeclared)
	}
	return pools, nil
}
