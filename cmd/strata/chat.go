package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/stratahq/strata/money"
	"github.com/stratahq/strata/store"
)

var _ = register(groupRun, chatCommand)

// defaultAddr is where "strata up" listens when nothing else is said.
const defaultAddr = "127.0.0.1:4000"

func chatCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "chat [prompt…]",
		Short: "Talk to a model in the terminal, with the cost of each turn",
		Long: `Talk to a model of the running server. Without a prompt, and in a terminal, the
conversation goes on turn by turn; with a prompt, or with text piped in, one
answer is printed and the program ends.

In a conversation: /help lists the commands, Ctrl-C stops an answer, Ctrl-D
leaves.`,
		Example: `  strata chat
  strata chat "Why is the sky blue?"
  strata chat --model smollm2 --max-tokens 60 --json "Name three colours"
  git diff | strata chat "Write a commit message for this"`,
		RunE: runChat,
	}
	f := c.Flags()
	f.String("model", "", "the `model`; the first that the server lists when not given")
	f.String("addr", "", "the server's `address` (default the running server's, or "+defaultAddr+")")
	f.String("api-key", "", "the Strata `key` to call with, where keys are required")
	f.String("system", "", "a system `prompt`")
	f.Int("max-tokens", 0, "stop each answer after `N` tokens; 0 leaves it to the model")
	f.Float64("temperature", -1, "sampling temperature; below 0 leaves it to the model")
	outputFlags(c)
	return c
}

func runChat(cmd *cobra.Command, args []string) error {
	p, err := newPrinter(cmd)
	if err != nil {
		return err
	}
	s, err := newChat(cmd)
	if err != nil {
		return err
	}
	prompt := strings.Join(args, " ")
	stdin := cmd.InOrStdin()
	interactive := isTerminal(stdin) && isTerminal(s.out) && !p.json
	if !isTerminal(stdin) && stdin != nil {
		piped, err := io.ReadAll(io.LimitReader(stdin, maxPiped+1))
		if err != nil {
			return fmt.Errorf("reading standard input: %w", err)
		}
		if len(piped) > maxPiped {
			return usagef("more than %s was piped in; give the model less to read", size(maxPiped))
		}
		if text := strings.TrimSpace(string(piped)); text != "" {
			prompt = strings.TrimSpace(prompt + "\n\n" + text)
		}
	}
	if prompt == "" && !interactive {
		return usagef("nothing to ask; give a prompt: strata chat \"Why is the sky blue?\"")
	}
	ctx := cmd.Context()
	if err := s.findModel(ctx); err != nil {
		return err
	}
	if prompt == "" {
		return s.converse(ctx, stdin.(*os.File))
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	if p.json {
		s.out = io.Discard
	}
	t, err := s.turn(ctx, prompt)
	if err != nil {
		return err
	}
	if p.json {
		return p.object(t)
	}
	fmt.Fprintln(s.notes, paint(colourful(s.notes), sgrDim, t.bill()))
	return nil
}

// maxPiped bounds what is read from standard input, in bytes.
const maxPiped = 1 << 20

// newChat finds the server and reads the flags.
func newChat(cmd *cobra.Command) (*chat, error) {
	f := cmd.Flags()
	dataDir, _, err := place(cmd)
	if err != nil {
		return nil, err
	}
	s := &chat{out: cmd.OutOrStdout(), notes: cmd.ErrOrStderr(), colour: colourful(cmd.OutOrStdout())}
	s.model, _ = f.GetString("model")
	s.key, _ = f.GetString("api-key")
	if k := os.Getenv("OPENAI_API_KEY"); s.key == "" && strings.HasPrefix(k, "sk-strata-") {
		s.key = k // a key of Strata, set for the official clients
	}
	s.system, _ = f.GetString("system")
	s.maxTokens, _ = f.GetInt("max-tokens")
	if s.maxTokens < 0 {
		return nil, usagef("--max-tokens %d: give a number above 0", s.maxTokens)
	}
	if t, _ := f.GetFloat64("temperature"); t >= 0 {
		s.temperature = &t
	}
	addr, _ := f.GetString("addr")
	if addr == "" {
		addr = defaultAddr
		if info, held, err := store.ReadLock(dataDir); err == nil && held && info.Address != "" {
			addr = info.Address
		}
	}
	if s.base, err = baseURL(addr); err != nil {
		return nil, err
	}
	return s, nil
}

// baseURL makes a URL of an address such as ":4000", "host:port" or a URL.
func baseURL(addr string) (string, error) {
	if strings.HasPrefix(addr, ":") {
		addr = "127.0.0.1" + addr
	}
	if !strings.Contains(addr, "://") {
		addr = "http://" + addr
	}
	if !strings.HasPrefix(addr, "http://") && !strings.HasPrefix(addr, "https://") {
		return "", usagef("--addr %q: give host:port or a http:// or https:// URL", addr)
	}
	return strings.TrimSuffix(strings.TrimSuffix(addr, "/"), "/v1"), nil
}

const chatHelp = `  /model [NAME]   use another model; without a name, list what is served
  /system [TEXT]  set the system prompt; without a text, remove it
  /reset          forget the conversation so far
  /cost           what this conversation has cost
  /exit           leave (or Ctrl-D)
  Ctrl-C stops an answer; arrow keys recall what you typed.
`

// converse is the conversation in a terminal. The terminal is in raw mode only
// while a line is typed, so that Ctrl-C is a signal while an answer streams.
func (s *chat) converse(ctx context.Context, stdin *os.File) error {
	fmt.Fprintf(s.out, "%s at %s. /help for help, Ctrl-D to leave.\n", paint(s.colour, sgrBold, plain(s.model)), s.base)
	editor := newLineEditor(stdin, s.out, paint(s.colour, sgrFaint, "› "))
	for {
		line, err := editor.read()
		if errors.Is(err, io.EOF) {
			s.goodbye()
			return nil
		} else if err != nil {
			return fmt.Errorf("reading the terminal: %w", err)
		}
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if strings.HasPrefix(line, "/") {
			if s.command(ctx, line) {
				s.goodbye()
				return nil
			}
			continue
		}
		turnCtx, stop := signal.NotifyContext(ctx, os.Interrupt)
		t, err := s.turn(turnCtx, line)
		stop()
		switch {
		case errors.Is(err, context.Canceled) && ctx.Err() == nil:
			fmt.Fprintln(s.out, paint(s.colour, sgrDim, "stopped; what was answered until then is charged"))
		case err != nil:
			fmt.Fprintln(s.out, paint(s.colour, sgrBad, "✗ ")+plain(err.Error()))
		default:
			fmt.Fprintln(s.out, paint(s.colour, sgrDim, t.bill()+s.totalNote()))
		}
		fmt.Fprintln(s.out)
	}
}

// command runs a line that starts with "/", and says whether to leave.
func (s *chat) command(ctx context.Context, line string) (leave bool) {
	name, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	switch name {
	case "/exit", "/quit", "/bye":
		return true
	case "/help", "/?":
		fmt.Fprint(s.out, chatHelp)
	case "/reset", "/clear":
		s.history = nil
		fmt.Fprintln(s.out, "The conversation starts anew.")
	case "/system":
		s.system = rest
		fmt.Fprintln(s.out, "System prompt "+map[bool]string{true: "removed.", false: "set."}[rest == ""])
	case "/cost":
		fmt.Fprintln(s.out, strings.TrimPrefix(s.totalNote(), " · "))
	case "/model":
		served, err := s.models(ctx)
		if err != nil {
			fmt.Fprintln(s.out, plain(err.Error()))
			return false
		}
		if rest == "" {
			for _, m := range served {
				mark := "  "
				if m == s.model {
					mark = "* "
				}
				fmt.Fprintln(s.out, mark+plain(m))
			}
			return false
		}
		// provider/model names pass through without being listed.
		s.model = rest
		fmt.Fprintf(s.out, "Now talking to %s.\n", plain(rest))
	default:
		fmt.Fprintf(s.out, "There is no %s. These are:\n%s", plain(name), chatHelp)
	}
	return false
}

func (s *chat) goodbye() {
	if s.turns > 0 {
		fmt.Fprintln(s.out, paint(s.colour, sgrDim, strings.TrimPrefix(s.totalNote(), " · ")))
	}
}

// totalNote is the sum of the conversation, with what it leaves out.
func (s *chat) totalNote() string {
	note := " · total " + dollars(s.total) + fmt.Sprintf(" for %d %s", s.turns, plural(s.turns, "turn", "turns"))
	if s.unknownTurns > 0 {
		note += fmt.Sprintf(" (%d of unknown cost not in it)", s.unknownTurns)
	}
	return note
}

// lineEditor reads lines with editing and history.
type lineEditor struct {
	fd int
	t  *term.Terminal
}

func newLineEditor(in *os.File, out io.Writer, prompt string) *lineEditor {
	return &lineEditor{int(in.Fd()), term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{&interruptReader{r: bufio.NewReader(in)}, out}, prompt)}
}

// interruptReader turns Ctrl-C at the prompt into "go to the end, delete all
// before it": it clears the line instead of ending the program.
type interruptReader struct {
	r    *bufio.Reader
	rest []byte
}

func (r *interruptReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		b, err := r.r.ReadByte()
		if err != nil {
			return 0, err
		}
		r.rest = []byte{b}
		if b == 0x03 {
			r.rest = []byte{0x05, 0x15}
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// read reads one line, or a whole pasted text.
func (e *lineEditor) read() (string, error) {
	old, err := term.MakeRaw(e.fd)
	if err != nil {
		return "", err
	}
	defer term.Restore(e.fd, old)
	if w, h, err := term.GetSize(e.fd); err == nil && w > 0 {
		_ = e.t.SetSize(w, h)
	}
	e.t.SetBracketedPasteMode(true)
	defer e.t.SetBracketedPasteMode(false)
	var text strings.Builder
	for {
		line, err := e.t.ReadLine()
		text.WriteString(line)
		if !errors.Is(err, term.ErrPasteIndicator) {
			return text.String(), err
		}
		text.WriteByte('\n')
	}
}

// addCost adds a turn's cost to the total.
func (s *chat) addCost(cost *money.Pico) {
	s.turns++
	if cost == nil {
		s.unknownTurns++
		return
	}
	s.total = s.total.Add(*cost)
}
