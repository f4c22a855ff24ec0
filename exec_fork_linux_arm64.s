//go:build !race

// Not under the race detector: it adds calls of its own to what the child does.

#include "textflag.h"

// func procCloneShared(flags, stack uintptr, b *procBirth) (pid, errno uintptr)
//
// The system keeps all registers but R0. The child has them too, and never comes back.
TEXT ·procCloneShared(SB), NOSPLIT, $16-40
	MOVD flags+0(FP), R0
	MOVD stack+8(FP), R1
	MOVD b+16(FP), R19
	MOVD ZR, R2
	MOVD ZR, R3
	MOVD ZR, R4
	MOVD $220, R8 // clone
	SVC
	CMN  $4095, R0
	BCS  failed
	CBZ  R0, child
	MOVD R0, pid+24(FP)
	MOVD ZR, errno+32(FP)
	RET
failed:
	NEG  R0, R0
	MOVD ZR, pid+24(FP)
	MOVD R0, errno+32(FP)
	RET
child:
	MOVD R19, 8(RSP)
	BL   ·procBeBorn(SB)
	BRK
