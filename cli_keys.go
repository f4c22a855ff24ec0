// cli_keys.go: the verbs about who gets in: keygen and authorize, which work on the keys folder of the principal's
// state, as the user to whom that belongs, and connect, the far end of ssh://.

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// keysPort is where a principal listens unless it is told otherwise.
const keysPort = "5561"

// keygenVerb is the entry of `keygen`.
func keygenVerb() cliVerb {
	return cliVerb{name: "keygen", args: "[NAME]", help: "make a key pair, or print the principal's public key",
		run: doKeygen,
		more: `
With -o the pair goes to a file that only you can read: copy its public key to the principal's box, for
cdktr authorize NAME 'KEY'. With the lines server-key and endpoint added, the file is a credential. Mostly
cdktr authorize --new is all that is needed: it makes the pair as well.`,
		flags: func(f *cliFlags) {
			f.BoolVar(&f.server, "show-server", false, "print the public key of the principal whose state is here")
			f.StringVar(&f.file, "o", "", "write the pair to this new `FILE`, not to standard output")
			f.setting("state", "state folder of the principal `DIR`")
		},
		examples: []string{"cdktr keygen -o laptop.key", "cdktr keygen --show-server --state /var/lib/cdktr"}}
}

func doKeygen(ctx context.Context, c *cli, args []string) error {
	if c.flags.server {
		if len(args) > 0 || c.flags.file != "" {
			return usageError("keygen --show-server takes nothing else: the key is public, and goes to standard output")
		}
		return c.showServerKey(ctx)
	}
	if len(args) > 1 {
		return usageError("keygen takes one NAME")
	}
	pair, err := authNewPair()
	if err != nil {
		return err
	}
	cred := &credential{Name: strings.Join(args, ""), Pair: pair}
	if c.flags.file == "" && c.flags.json {
		return printJSON(c.out, map[string]string{"public": pair.Public.String(), "secret": pair.Secret.Text()})
	}
	if err := c.writeKeys(cred.text()); err != nil {
		return err
	}
	if c.flags.file != "" {
		_, err = fmt.Fprintln(c.out, pair.Public)
	}
	return err
}

// keysPlace is the keys folder that a verb works on.
type keysPlace struct {
	owner *owner
	dir   string // STATE/keys
	found stateFound
}

// keysPlace finds the keys folder. A principal must use it: it is that of the principal that answers or of the state
// folder that a setting names, or it has a principal's key in it. The state folder must exist, since nobody knows who
// would own a new one.
func (c *cli) keysPlace(ctx context.Context) (*keysPlace, error) {
	found, err := c.stateFind(ctx)
	if err != nil {
		return nil, err
	}
	p := &keysPlace{dir: filepath.Join(found.dir, authFolder), found: found}
	p.owner, err = ownerOf(found.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, found.nothing(exitRefused, "is not there")
	}
	switch {
	case errors.Is(err, errOwnerPath):
		return nil, &exitError{code: exitRefused, err: fmt.Errorf("open state folder %s: %w", found.dir, err)}
	case err != nil:
		return nil, fmt.Errorf("open state folder: %w", err)
	}
	if found.set || found.answered {
		return p, nil
	}
	_, err = os.Lstat(filepath.Join(p.dir, authServerKey))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, found.nothing(exitRefused, "has no key of a principal in it")
	case err != nil:
		return nil, fmt.Errorf("look for the principal's key: %w", err)
	}
	return p, nil
}

// do opens the keys folder, or makes it, and calls fn with it, as the owner of the state.
func (p *keysPlace) do(fn func(d *authDir) error) error {
	return p.owner.do(func() error {
		d, err := authDirOpen(p.dir, true)
		if err != nil {
			return err
		}
		defer d.close()
		return fn(d)
	})
}

// grants reads the authorized keys.
func (p *keysPlace) grants() (grants []*authGrant, faults []error, err error) {
	err = p.owner.do(func() error {
		grants, faults, err = authReadFile(p.dir)
		return err
	})
	return grants, faults, err
}

// showServerKey prints the principal's public key. It does not make one.
func (c *cli) showServerKey(ctx context.Context) error {
	p, err := c.keysPlace(ctx)
	if err != nil {
		return err
	}
	var pair curvePair
	err = p.owner.do(func() error {
		d, err := authDirOpen(p.dir, false)
		if err != nil {
			return err
		}
		defer d.close()
		pair, err = d.serverPair()
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return &exitError{code: exitRefused,
			err: fmt.Errorf("there is no %s: no principal with a tcp:// address has been started on this state folder",
				filepath.Join(p.dir, authServerKey)),
			hint: "cdktr start principal --bind tcp://ADDR:" + keysPort +
				" makes its key, cdktr authorize --new does too"}
	}
	if err != nil {
		return err
	}
	if c.flags.json {
		return printJSON(c.out, map[string]string{"server": pair.Public.String()})
	}
	_, err = fmt.Fprintln(c.out, pair.Public)
	return err
}

// writeKeys writes a credential to the file of -o, which must be new, or to standard output.
func (c *cli) writeKeys(text string) error {
	name := c.flags.file
	if name == "" {
		_, err := fmt.Fprint(c.out, text)
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return &exitError{code: exitRefused, err: fmt.Errorf("%s is there already: nothing was written", name)}
	}
	if err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Close())
	if err != nil {
		return errors.Join(fmt.Errorf("write keys: %w", err), os.Remove(name))
	}
	return nil
}

// authorizeVerb is the entry of `authorize`.
func authorizeVerb() cliVerb {
	return cliVerb{name: "authorize", args: "NAME [KEY]", help: "say who gets in over tcp://, and what they may do",
		run: doAuthorize,
		more: `
Roles: a viewer reads; a trigger starts the workflows named and reads their runs; an operator does all but this; an
agent takes runs, as the agent of that name. --new makes a key pair too and prints one file, the credential: the other
box needs no more for cdktr start agent --credential FILE or cdktr ps --credential FILE. A running principal sees each
change at once, and cuts the connections of a key that was removed.`,
		flags: func(f *cliFlags) {
			f.BoolVar(&f.fresh, "new", false, "make a key pair for NAME and print a credential file")
			f.BoolVar(&f.list, "list", false, "list who gets in")
			f.BoolVar(&f.remove, "remove", false, "take NAME's key away")
			f.StringVar(&f.role, "role", "", "`ROLE`: agent, operator, trigger or viewer")
			f.StringVar(&f.workflows, "workflows", "", "of role trigger: the workflows, as `PATTERNS` etl.*,nightly")
			f.StringVar(&f.endpoint, "endpoint", "", "in the credential: where the principal is, `tcp://HOST:PORT`")
			f.StringVar(&f.file, "o", "", "write the credential to this new `FILE`, not to standard output")
			f.setting("state", "state folder of the principal `DIR`")
		},
		examples: []string{
			"cdktr authorize --new edge-07 --role agent --endpoint tcp://hub:5561 -o edge-07.cred",
			"cdktr authorize ci 'Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID' --role trigger --workflows 'deploy.*'",
			"cdktr authorize --remove ci",
		}}
}

func doAuthorize(ctx context.Context, c *cli, args []string) error {
	f := c.flags
	given := 0
	for _, set := range []bool{f.fresh, f.list, f.remove} {
		if set {
			given++
		}
	}
	switch {
	case given > 1:
		return usageError("give one of --new, --list and --remove")
	case f.list && len(args) > 0:
		return usageError("authorize --list takes no arguments")
	case (f.fresh || f.remove) && len(args) != 1:
		return usageError("authorize --new and --remove take one NAME")
	case given == 0 && len(args) != 2:
		return &exitError{code: exitUsage, err: errors.New("authorize takes a NAME and a KEY"),
			hint: "cdktr authorize --new NAME --role ROLE makes the key as well"}
	case !f.fresh && (f.file != "" || f.endpoint != ""):
		return usageError("-o and --endpoint are for authorize --new")
	}
	var g *authGrant
	if !f.list && !f.remove {
		g = &authGrant{Name: args[0], Role: f.role}
		if f.workflows != "" {
			g.Workflows = strings.Split(f.workflows, ",")
		}
		if !f.fresh {
			g.Key = args[1]
			if err := keysCheck(g); err != nil {
				return err
			}
		}
	}
	p, err := c.keysPlace(ctx)
	switch {
	case err != nil:
		return err
	case f.list:
		return c.listGrants(p)
	case f.remove:
		return c.removeGrant(p, args[0])
	case f.fresh:
		return c.newGrant(p, g)
	}
	return c.addGrant(p, g)
}

// newGrant makes a pair, writes the credential, and then authorizes its key. If the last step fails, the credential
// lets nobody in. The caller writes the file of -o, and owns it; the owner of the state does all else.
func (c *cli) newGrant(p *keysPlace, g *authGrant) error {
	endpoint, err := c.credentialEndpoint(p.found.listens)
	if err != nil {
		return err
	}
	pair, err := authNewPair()
	if err != nil {
		return err
	}
	g.Key = pair.Public.String()
	if err := keysCheck(g); err != nil {
		return err
	}
	if err := p.free(g); err != nil { // checked before anything is made
		return err
	}
	var server curvePair
	made := false
	err = p.do(func(d *authDir) (err error) {
		server, made, err = d.makeServerPair()
		return err
	})
	if err != nil {
		return err
	}
	if made && p.found.listens == nil {
		fmt.Fprintf(c.err, "cdktr: no principal has keys in %s yet: made them for the one that will be started with "+
			"that state folder\n", p.found.dir)
	}
	if p.found.told != "" && !p.found.answered {
		fmt.Fprintf(c.err, "cdktr: the principal that answers at %s keeps its state in %s: the credential is not "+
			"for that one\n", p.found.endpoint, p.found.told)
	}
	cred := &credential{Endpoint: endpoint, Name: g.Name, Role: g.Role, Workflows: strings.Join(g.Workflows, ","),
		Server: server.Public, Pair: pair}
	if err := c.writeKeys(cred.text()); err != nil {
		return err
	}
	if err := c.addGrant(p, g); err != nil {
		if c.flags.file != "" {
			err = errors.Join(err, os.Remove(c.flags.file))
		}
		return err
	}
	if c.flags.endpoint == "" {
		fmt.Fprintf(c.err, "cdktr: the credential says that the principal is at %s: if not, give --endpoint\n",
			endpoint)
	}
	return nil
}

// credentialEndpoint gives the endpoint for a credential: that of --endpoint, else this box's name with the port on
// which the principal listens, or, where none answers, with the port of the settings.
func (c *cli) credentialEndpoint(listens []string) (string, error) {
	endpoint := c.flags.endpoint
	if endpoint == "" {
		host, err := os.Hostname()
		if err != nil {
			return "", usageError("give --endpoint tcp://HOST:%s: %w", keysPort, err)
		}
		port := keysPort
		for _, at := range append(keysTCP(listens), strings.Split(c.cfg.get("bind"), ",")...) {
			if _, bound, err := wireEndpointParse(at); err == nil {
				_, port, _ = net.SplitHostPort(bound)
				break
			}
		}
		endpoint = "tcp://" + host + ":" + port
	}
	if network, _, err := wireEndpointParse(endpoint); err != nil || network != "tcp" ||
		strings.HasPrefix(endpoint, "tcp://*") {
		return "", usageError("endpoint %q: write tcp://HOST:PORT as the other box can reach it", endpoint)
	}
	return endpoint, nil
}

// keysTCP gives the tcp addresses of those on which a principal listens: keys let in only there.
func keysTCP(listens []string) []string {
	return slices.DeleteFunc(slices.Clone(listens), func(at string) bool { return !strings.HasPrefix(at, "tcp:") })
}

// sayDeaf warns where the principal that answers listens at no address at which the new key could let anybody in.
func (c *cli) sayDeaf(p *keysPlace) {
	told := p.found.answered && p.found.listens != nil
	if told && len(keysTCP(p.found.listens)) == 0 {
		c.say("the principal that answers at " + p.found.endpoint +
			" listens at no tcp:// address, so no key lets anybody in yet: start it with --bind tcp://ADDR:" +
			keysPort + ", or set bind in its configuration")
	}
}

// keysCheck checks a new grant by itself.
func keysCheck(g *authGrant) error {
	if g.Role == "" {
		return usageError("say with --role what %s may do: %s", g.Name, strings.Join(authRoles, ", "))
	}
	if err := g.check(); err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	return nil
}

// free checks that nobody has the name or the key of a new grant yet.
func (p *keysPlace) free(g *authGrant) error {
	grants, _, err := p.grants()
	if err != nil {
		return err
	}
	return keysClash(grants, g)
}

// keysClash refuses a grant whose name or key another one has already.
func keysClash(grants []*authGrant, g *authGrant) error {
	for _, other := range grants {
		switch {
		case other.Name == g.Name:
			return &exitError{code: exitRefused, err: fmt.Errorf("%s is authorized already, as %s", g.Name, other.Role),
				hint: "cdktr authorize --remove " + g.Name + " first"}
		case other.Key == g.Key:
			return &exitError{code: exitRefused, err: fmt.Errorf("this key is authorized already, as %s", other.Name)}
		}
	}
	return nil
}

// addGrant adds a line to the authorized file.
func (c *cli) addGrant(p *keysPlace, g *authGrant) error {
	if err := p.free(g); err != nil {
		return err
	}
	err := p.edit(func(text string) (string, error) {
		grants, _ := authParse(authFile, []byte(text)) // checked again: somebody else may have been quicker
		if err := keysClash(grants, g); err != nil {
			return "", err
		}
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		return text + g.line() + "\n", nil
	})
	if err != nil {
		return err
	}
	c.sayDeaf(p)
	if c.flags.json && !c.flags.fresh {
		return printJSON(c.out, g)
	}
	_, err = fmt.Fprintf(c.err, "authorized %s as %s\n", g.Name, g.Role)
	return err
}

// removeGrant removes the lines of a name from the authorized file, and leaves all others as they are.
func (c *cli) removeGrant(p *keysPlace, name string) error {
	err := p.edit(func(text string) (string, error) {
		lines := strings.SplitAfter(text, "\n")
		kept := slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
			fields := strings.Fields(line)
			return len(fields) > 0 && fields[0] == name
		})
		if len(kept) == len(lines) {
			var names []string
			for _, line := range lines {
				names = append(names, strings.Fields(line + " -")[0])
			}
			return "", &exitError{code: exitRefused, hint: "cdktr authorize --list",
				err: fmt.Errorf("no key of %q is authorized%s", textHead(name, cliEchoMost), nearHint(name, names))}
		}
		return strings.Join(kept, ""), nil
	})
	if err != nil {
		return err
	}
	if c.flags.json {
		return printJSON(c.out, map[string]string{"removed": name})
	}
	_, err = fmt.Fprintf(c.err, "removed %s: a running principal cuts its connections\n", name)
	return err
}

// edit replaces the text of the authorized file.
func (p *keysPlace) edit(change func(string) (string, error)) error {
	return p.do(func(d *authDir) error { return d.edit(authFile, change) })
}

// listGrants prints who gets in.
func (c *cli) listGrants(p *keysPlace) error {
	grants, faults, err := p.grants()
	if err != nil {
		return err
	}
	for _, fault := range faults {
		c.say(fault.Error())
	}
	var rows [][]tableCell
	for _, g := range grants {
		if c.flags.json {
			if err := printJSON(c.out, g); err != nil {
				return err
			}
		}
		rows = append(rows, []tableCell{{text: g.Name}, {text: g.Role}, {text: strings.Join(g.Workflows, ",")},
			{text: g.Key}})
	}
	if c.flags.json {
		return nil
	}
	return c.painter().table([]string{"NAME", "ROLE", "WORKFLOWS", "KEY"}, rows)
}

// connectVerb is the entry of `connect`.
func connectVerb() cliVerb {
	return cliVerb{name: "connect",
		help: "join standard input and output to the principal's socket: what ssh:// starts on this box",
		run:  doConnect,
		flags: func(f *cliFlags) {
			f.BoolVar(&f.stdio, "stdio", false, "the only way there is; must be given")
			f.setting("socket", "`PATH` of the principal's socket")
		},
		examples: []string{"ssh hub cdktr connect --stdio", "cdktr ps --principal ssh://hub"}}
}

// doConnect is the far end of ssh://. When it fails, the person at the near end reads its standard error.
func doConnect(ctx context.Context, c *cli, args []string) error {
	if !c.flags.stdio || len(args) > 0 {
		return usageError("want connect --stdio, and nothing else: people use --principal ssh://HOST, which starts " +
			"this")
	}
	path := c.cfg.get("socket")
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return &exitError{code: exitUnreachable, err: fmt.Errorf("reach the principal of this box at %s: %w", path,
			wireDialHint(err, "unix"))}
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := wireJoin(conn.(*net.UnixConn), c.in, termRaw(c.out)); err != nil && ctx.Err() == nil &&
		!errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("carry bytes: %w", err)
	}
	return nil
}
