// Package offheap allocates memory that the garbage collector does not know. It
// neither scans it nor counts it when it decides how much garbage to leave, so a
// large cache does not double a node's memory. Where the system offers no such
// memory it comes from the heap.
package offheap
