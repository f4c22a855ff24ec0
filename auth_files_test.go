// Fuzz targets for the files that say who gets in: what is read comes back as it was, and nothing is let in by
// accident.

package main

import (
	"reflect"
	"testing"
)

// FuzzAuthParse: each line that is taken means the same when it is written back; roles and names are of the allowed
// ones.
func FuzzAuthParse(f *testing.F) {
	f.Add([]byte("# who\nedge " + authTestKey + " role=agent\n\nci " + authTestKey +
		" role=trigger workflows=etl.*,x\n"))
	f.Add([]byte("edge " + authTestKey + " role=owner\r\n\x00 \xff role=\nci " + authTestKey +
		" workflows=[ role=trigger role=agent"))
	f.Fuzz(func(t *testing.T, text []byte) {
		grants, _ := authParse("authorized", text)
		for _, g := range grants {
			if err := g.check(); err != nil || g.Role == authOwner.Role {
				t.Fatalf("%+v was taken: %v", g, err)
			}
			again, err := authParseLine(g.line())
			if err != nil || !reflect.DeepEqual(again, g) {
				t.Fatalf("%q comes back as %+v, %v", g.line(), again, err)
			}
		}
	})
}

// FuzzAuthCredential: a credential that is taken comes back as it was.
func FuzzAuthCredential(f *testing.F) {
	pair, err := authNewPair()
	if err != nil {
		f.Fatal(err)
	}
	f.Add((&credential{Endpoint: "tcp://hub:5561", Name: "edge", Role: roleAgent, Server: pair.Public,
		Pair: pair}).text())
	f.Add("curve\n    secret-key = \"x\"\n    public-key = \"\n=\n\"\"=\"\"")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := credentialParse("x.cred", text)
		if err != nil {
			return
		}
		if again, err := credentialParse("x.cred", c.text()); err != nil || !reflect.DeepEqual(again, c) {
			t.Fatalf("it comes back as %+v, %v", again, err)
		}
	})
}
