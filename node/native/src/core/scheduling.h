// How the kernel shares the cores between our threads. What clients wait for goes first: without this, an event loop
// that wakes up stood in line behind compactions for up to 100 ms (measured on two cores).
#pragma once

namespace ilion {

enum class Urgency { prompt, ordinary, flush, compaction };

// Of the calling thread. Only asks: where the kernel does not grant it, all stays as it was.
void setUrgency(Urgency urgency);

}  // namespace ilion
