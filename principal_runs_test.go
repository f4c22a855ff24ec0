package main

import (
	"testing"
	"testing/synctest"
	"time"
)

// Keys are of a workflow and of those who see the same workflows: nobody's key is in the way of another's. Those of a
// version that kept all of them together hold for their workflow until their time is over.
func TestPrincipalKeys(t *testing.T) {
	etl := &authGrant{Name: "etl", Role: roleTrigger, Workflows: []string{"etl", "ops"}}
	ops := &authGrant{Name: "ops", Role: roleTrigger, Workflows: []string{"ops"}}
	again := &authGrant{Name: "again", Role: roleTrigger, Workflows: []string{"ops"}}
	operator := &authGrant{Name: "operator", Role: roleOperator}
	synctest.Test(t, func(t *testing.T) {
		g := principalRigOpen(t, t.TempDir(), principalTask(Workflow{ID: "etl"}), principalTask(Workflow{ID: "ops"}))
		run := func(grant *authGrant, workflow, key string) (id string) {
			t.Helper()
			g.do(func() {
				var refused *protoError
				if id, refused = g.p.trigger(grant, Request{Workflow: workflow, Key: key}, grant.Name,
					""); refused != nil {
					t.Errorf("%s, %s, %s: %v", grant.Name, workflow, key, refused)
				}
			})
			return id
		}
		seen := map[string]string{}
		for _, c := range []struct {
			grant         *authGrant
			workflow, who string
		}{{etl, "etl", "etl of etl"}, {etl, "ops", "ops of etl"}, {ops, "ops", "ops of ops"},
			{again, "ops", "ops of ops"}, {operator, "ops", "ops of all"}, {authOwner, "ops", "ops of all"},
			{authOwner, "etl", "etl of all"}} {
			for range 2 {
				id := run(c.grant, c.workflow, "k")
				if seen[c.who] == "" {
					for who, other := range seen {
						if other == id {
							t.Errorf("%s has the run of %s", c.who, who)
						}
					}
					seen[c.who] = id
				}
				if seen[c.who] != id {
					t.Errorf("%s starts another run", c.who)
				}
			}
		}
		g.stop()
		g.start(principalTask(Workflow{ID: "etl"}), principalTask(Workflow{ID: "ops"}))
		if run(ops, "ops", "k") != seen["ops of ops"] || run(operator, "etl", "k") != seen["etl of all"] {
			t.Error("after a start the keys are others")
		}
		time.Sleep(stateKeyLife + time.Second)
		if run(etl, "etl", "k") == seen["etl of etl"] || run(ops, "ops", "k") == seen["ops of ops"] {
			t.Error("keys hold for ever")
		}
		g.stop()
	})
}
