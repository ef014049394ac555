package process

import (
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// A meter reads what the job object of a group accounts for: all that ever was in it.
type meter struct{ group group }

// accounting is the system's JOBOBJECT_BASIC_AND_IO_ACCOUNTING_INFORMATION.
type accounting struct {
	user, kernel             int64 // in units of 100 ns
	periodUser, periodKernel int64
	faults, processes        uint32
	active, terminated       uint32
	io                       windows.IO_COUNTERS
}

const basicAndIoAccounting = 8 // JobObjectBasicAndIoAccountingInformation

func (m *meter) usage() Usage {
	var a accounting
	if m.group.job == 0 || windows.QueryInformationJobObject(m.group.job, basicAndIoAccounting, uintptr(unsafe.Pointer(&a)),
		uint32(unsafe.Sizeof(a)), nil) != nil {
		return Usage{}
	}
	const unit = 100 * time.Nanosecond
	return Usage{
		CPU:     time.Duration(a.user+a.kernel) * unit,
		Read:    a.io.ReadTransferCount + a.io.OtherTransferCount, // what sockets carry is counted as other
		Written: a.io.WriteTransferCount,
		Reads:   a.io.ReadOperationCount + a.io.OtherOperationCount,
		Known:   true,
	}
}
