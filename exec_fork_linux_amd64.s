//go:build !race

// Not under the race detector: it adds calls of its own to what the child does.

#include "textflag.h"

// func procCloneShared(flags, stack uintptr, b *procBirth) (pid, errno uintptr)
//
// The system keeps all registers but AX, CX and R11. The child has them too, and never comes back.
TEXT ·procCloneShared(SB), NOSPLIT, $16-40
	MOVQ flags+0(FP), DI
	MOVQ stack+8(FP), SI
	MOVQ b+16(FP), R12
	XORL DX, DX
	XORL R10, R10
	XORL R8, R8
	MOVL $56, AX // clone
	SYSCALL
	CMPQ AX, $0xfffffffffffff001
	JCC  failed
	TESTQ AX, AX
	JEQ  child
	MOVQ AX, pid+24(FP)
	MOVQ $0, errno+32(FP)
	RET
failed:
	NEGQ AX
	MOVQ $0, pid+24(FP)
	MOVQ AX, errno+32(FP)
	RET
child:
	MOVQ R12, 0(SP)
	CALL ·procBeBorn(SB)
	INT  $3
