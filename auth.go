// auth.go: who may do what. A connection's key, or the box's own socket, gives it a grant; a grant has a role, and for
// some a list of workflows. The keys of the principal lie in STATE/keys: server.key and server.pub, its own pair, and
// authorized, one line for each client:
//
//	NAME KEY role=agent|operator|trigger|viewer [workflows=etl.*,nightly]

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	authFolder     = "keys" // within the state folder
	authServerKey  = "server.key"
	authServerPub  = "server.pub"
	authFile       = "authorized"
	authMaxName    = 64                     // bytes of the name of a key; a longer one is refused
	authMaxFile    = 4 << 20                // bytes of authorized
	authSettle     = 100 * time.Millisecond // a changed file is read after this time: it may be half written before
	authRecheck    = 10 * time.Second       // how often the file is looked at where there are no file events
	authNameDigits = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@-"
)

// authRoles is every role that a key can have.
var authRoles = []string{roleAgent, roleOperator, roleTrigger, roleViewer}

// authGrant is what one peer may do. It is never changed once it is made.
type authGrant struct {
	Name      string   `json:"name"`
	Key       string   `json:"key"` // public, Z85
	Role      string   `json:"role"`
	Workflows []string `json:"workflows,omitempty"` // patterns, as path.Match has them; of role trigger only
}

// authOwner is the grant of the principal's owners: its user, root, the socket's group, this process. They may do all.
var authOwner = &authGrant{Role: authRoleOwner}

// authRoleOwner is the role of authOwner; no key can have it.
const authRoleOwner = "owner"

// may says whether the grant is enough for an op, a row of protoOps.
func (g *authGrant) may(v *protoOp) bool {
	switch v.Role {
	case roleAny:
		return true
	case roleAgent:
		return g.Role == authRoleOwner || g.Role == roleAgent
	case roleViewer:
		if g.Role == roleViewer || g.Role == roleTrigger && v.Scoped {
			return true
		}
	case roleTrigger:
		if g.Role == roleTrigger {
			return true
		}
	}
	return g.operates()
}

// operates says whether the grant is an operator's or the owner's.
func (g *authGrant) operates() bool { return g.Role == authRoleOwner || g.Role == roleOperator }

// sees says whether this peer may see a workflow with its runs, their events and their output. "" stands for what
// belongs to no workflow: only peers that see all workflows see it.
func (g *authGrant) sees(workflow string) bool {
	if g.Role != roleTrigger {
		return true
	}
	return slices.ContainsFunc(g.Workflows, func(pattern string) bool {
		ok, _ := path.Match(pattern, workflow)
		return ok && workflow != ""
	})
}

// scope gives the patterns of the workflows that the peer sees; "*" is all.
func (g *authGrant) scope() string {
	if g.Role != roleTrigger {
		return "*"
	}
	return strings.Join(g.Workflows, ",")
}

// deny is the refusal where the grant's role is not enough.
func (g *authGrant) deny(what string) *protoError {
	return refuse(codeNotAllowed, "key %q has the role %s, which may not %s", g.Name, g.Role, what)
}

// denyWorkflow is the refusal of a workflow that the grant does not name. It does not say whether there is one.
func (g *authGrant) denyWorkflow(what string) *protoError {
	return refuse(codeNotAllowed, "key %q is for the workflows %s only, not for %s", g.Name,
		strings.Join(g.Workflows, ","), what)
}

// line is the grant as the file has it.
func (g *authGrant) line() string {
	text := g.Name + " " + g.Key + " role=" + g.Role
	if len(g.Workflows) > 0 {
		text += " workflows=" + strings.Join(g.Workflows, ",")
	}
	return text
}

// authParseLine reads one line of the file; nil for a blank one and a comment.
func authParseLine(text string) (*authGrant, error) {
	fields := strings.Fields(text)
	if len(fields) == 0 || fields[0][0] == '#' {
		return nil, nil
	}
	if len(fields) < 3 {
		return nil, errors.New("want NAME KEY role=ROLE")
	}
	g := &authGrant{Name: fields[0], Key: fields[1]}
	for _, field := range fields[2:] {
		name, value, _ := strings.Cut(field, "=")
		switch {
		case name == "role" && g.Role == "":
			g.Role = value
		case name == "workflows" && g.Workflows == nil:
			g.Workflows = strings.Split(value, ",")
		default:
			return nil, fmt.Errorf("%q is neither role=ROLE nor workflows=PATTERN,PATTERN, once each", field)
		}
	}
	return g, g.check()
}

// check says what is wrong with a grant.
func (g *authGrant) check() error {
	if !authNameFits(g.Name) {
		return fmt.Errorf("name %q: want 1 to %d letters, digits and ._@-, not beginning with -", g.Name, authMaxName)
	}
	if _, err := curveKeyParse(g.Key); err != nil {
		return err
	}
	if !slices.Contains(authRoles, g.Role) {
		return fmt.Errorf("role %q: want %s%s", g.Role, strings.Join(authRoles, ", "),
			nearHint(g.Role, authRoles))
	}
	if g.Role != roleTrigger && g.Workflows != nil {
		return fmt.Errorf("workflows are for the role %s, not for %s: it would have all of them", roleTrigger, g.Role)
	}
	if g.Role == roleTrigger && len(g.Workflows) == 0 {
		return fmt.Errorf("the role %s needs workflows=PATTERN,PATTERN (* is all of them)", roleTrigger)
	}
	for _, pattern := range g.Workflows {
		if _, err := path.Match(pattern, "x"); err != nil || pattern == "" || strings.ContainsAny(pattern, " \t\r\n") {
			return fmt.Errorf("workflows: %q is not a pattern, as etl.* is", pattern)
		}
	}
	return nil
}

// authNameFits says whether a key may have this name.
func authNameFits(name string) bool {
	if name == "" || len(name) > authMaxName || name[0] == '-' {
		return false
	}
	return strings.Trim(name, authNameDigits) == ""
}

// authParse reads the file. A bad line is a fault, FILE:LINE: WHY; the other lines still count.
func authParse(file string, text []byte) (grants []*authGrant, faults []error) {
	keys, names := map[string]int{}, map[string]int{}
	for i, line := range strings.Split(string(text), "\n") {
		g, err := authParseLine(line)
		switch {
		case err == nil && g == nil:
			continue
		case err == nil && keys[g.Key] > 0:
			err = fmt.Errorf("the key is on line %d already", keys[g.Key])
		case err == nil && names[g.Name] > 0:
			err = fmt.Errorf("the name %s is on line %d already", g.Name, names[g.Name])
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s:%d: %w: the line is passed over", file, i+1, err))
			continue
		}
		keys[g.Key], names[g.Name] = i+1, i+1
		grants = append(grants, g)
	}
	return grants, faults
}

// authKeys is the keys folder as a running principal uses it. Any goroutine may call lookup and authorize.
type authKeys struct {
	dir  string // STATE/keys
	pair curvePair
	made bool // the pair did not exist before

	reading sync.Mutex  // one goroutine reads the file at a time, so that no older text comes in force
	seen    fs.FileInfo // of the file when it was last read, nil when it was not there; guarded by reading

	mu     sync.RWMutex          // guards grants; never held over I/O
	grants map[string]*authGrant // by key
}

// authOpen reads the keys folder of a state folder. Where there is none, it makes one with a new pair. faults are the
// bad lines of the authorized file.
func authOpen(state string) (k *authKeys, faults []error, err error) {
	k = &authKeys{dir: filepath.Join(state, authFolder), grants: map[string]*authGrant{}}
	d, err := authDirOpen(k.dir, true)
	if err != nil {
		return nil, nil, err
	}
	defer d.close()
	k.pair, k.made, err = d.makeServerPair()
	if err != nil {
		return nil, nil, err
	}
	_, faults, err = k.load()
	return k, faults, err
}

// authNewPair makes a pair whose public key can stand on a command line: it does not look like a flag.
func authNewPair() (curvePair, error) {
	for {
		pair, err := curvePairNew(nil)
		if err != nil || pair.Public.String()[0] != '-' {
			return pair, err
		}
	}
}

// load reads the authorized file and puts it in force. gone is the keys whose line was removed or changed. A missing
// file lets nobody in; while the file cannot be read, the older grants stay in force.
func (k *authKeys) load() (gone []*authGrant, faults []error, err error) {
	k.reading.Lock()
	defer k.reading.Unlock()
	seen := k.stat()
	grants, faults, err := authReadFile(k.dir)
	if err != nil {
		return nil, faults, err
	}
	now := make(map[string]*authGrant, len(grants))
	for _, g := range grants {
		now[g.Key] = g
	}
	k.seen = seen
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range sortedKeys(k.grants) {
		if g := k.grants[key]; now[key] == nil || now[key].line() != g.line() {
			gone = append(gone, g)
		}
	}
	k.grants = now
	return gone, faults, nil
}

// stat looks at the authorized file; nil when it cannot be seen.
func (k *authKeys) stat() fs.FileInfo {
	info, err := os.Lstat(filepath.Join(k.dir, authFile))
	if err != nil {
		return nil
	}
	return info
}

// adopt looks for a key that was added this very moment, so that whoever adds one can use it at once. It reads the file
// once for each change of it, and only adds keys: load removes those that are gone.
func (k *authKeys) adopt(key string) *authGrant {
	k.reading.Lock()
	defer k.reading.Unlock()
	now := k.stat()
	if now == nil || k.seen != nil && authUnchanged(k.seen, now) {
		return k.lookup(key)
	}
	grants, _, err := authReadFile(k.dir)
	if err != nil {
		return nil // the watch tells of it
	}
	k.seen = now
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, g := range grants {
		if k.grants[g.Key] == nil {
			k.grants[g.Key] = g
		}
	}
	return k.grants[key]
}

// authUnchanged says whether a file is still the one that was seen before.
func authUnchanged(before, now fs.FileInfo) bool {
	return os.SameFile(before, now) && before.Size() == now.Size() && before.ModTime().Equal(now.ModTime())
}

// authReadFile reads the authorized file of a keys folder. A missing file has no grants.
func authReadFile(dir string) (grants []*authGrant, faults []error, err error) {
	d, err := authDirOpen(dir, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer d.close()
	file := d.path(authFile)
	text, info, err := d.read(authFile, authMaxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, nil
	case err != nil:
		return nil, nil, fmt.Errorf("read authorized keys: %w", err)
	case info.Mode()&0o022 != 0:
		return nil, nil, fmt.Errorf("read authorized keys: others can write %s: chmod 600 %s", file, file)
	}
	grants, faults = authParse(file, text)
	return grants, faults, nil
}

// count says how many keys are authorized.
func (k *authKeys) count() int {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return len(k.grants)
}

// authorize is curveServer.Authorize.
func (k *authKeys) authorize(key curveKey) (name string, ok bool) {
	g := k.lookup(key.String())
	if g == nil {
		g = k.adopt(key.String())
	}
	if g == nil {
		return "", false
	}
	return g.Name, true
}

// agent says whether a key is an agent's, as far as it is in force.
func (k *authKeys) agent(key curveKey) bool {
	g := k.lookup(key.String())
	return g != nil && g.Role == roleAgent
}

// lookup gives the grant of a key, nil when it has none.
func (k *authKeys) lookup(key string) *authGrant {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.grants[key]
}

// runAuthWatch keeps the authorized file in force until ctx ends. It wakes authSettle after the last event of the keys
// folder, and each authRecheck where there are no events. It calls onGone for each key whose line was removed or
// changed, once that is in force, and onFault for bad lines and for what keeps the file from being read, once for each
// text.
func (k *authKeys) runAuthWatch(ctx context.Context, onGone func(*authGrant), onFault func(error)) {
	w, err := watchOpen(nil)
	if err != nil {
		onFault(fmt.Errorf("watch authorized keys: %w: changes are seen within %s", err, authRecheck))
	}
	lastFault := ""
	runWatchLook(ctx, w, authSettle, authRecheck, func(follow func(string) (bool, error)) bool {
		more, unwatched := follow(k.dir) // again each time: the folder may have been replaced
		gone, faults, err := k.load()
		if fault := errors.Join(append(faults, err)...); fault == nil {
			lastFault = ""
		} else if fault.Error() != lastFault {
			lastFault = fault.Error()
			onFault(fault)
		}
		for _, g := range gone {
			onGone(g)
		}
		return unwatched == nil && !more
	})
}
