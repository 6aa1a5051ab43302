/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libskep-bpf: libbpf on skep. A program that links libbpf statically adds this archive and ld's --wrap for the calls that
 * libbpf makes on our descriptors and files (pkg-config --libs libskep-bpf has them all); then libbpf's own code opens,
 * relocates and loads objects into an engine of this process instead of the kernel, unchanged.
 */
#ifndef SKEP_BPF_H
#define SKEP_BPF_H

#include <skep/skep.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The engine that libbpf's calls go to: made at the first one, with default options, unless set before. NULL: it could not be made. */
struct skep *skep_bpf_engine(void);
/** Uses another engine from now on; the caller keeps it open for as long as libbpf's objects live. */
void skep_bpf_use(struct skep *k);
/** Calls fn instead of skep_bpf() for every bpf(2) call that arrives; it decides, usually by skep_bpf(), and returns -errno. NULL: nobody
 * stands between. To be set while no call is under way. */
typedef int skep_bpf_hook_fn(void *ud, struct skep *k, int cmd, union bpf_attr *attr, unsigned int size);
void skep_bpf_hook(skep_bpf_hook_fn *fn, void *ud);
/** Tells libbpf 1.1 what newer section names mean ("tcx/ingress", "netkit/primary", "uprobe.multi", ...), before objects are opened. */
int skep_bpf_sections(void);

#ifdef __cplusplus
}
#endif
#endif
