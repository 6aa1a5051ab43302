/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A static libpcap brings a back end that captures from D-Bus, which needs libraries that exist only as shared ones. These
 * two entry points stand for it, so that the linker leaves it out; the back end then simply has no devices. Signatures: libpcap's
 * table of capture back ends.
 */
#include <pcap/pcap.h>

int dbus_findalldevs(void *devices, char *error);
pcap_t *dbus_create(const char *device, char *error, int *is_ours);

int dbus_findalldevs(void *devices, char *error)
{
	(void)devices;
	(void)error;
	return 0;
}

pcap_t *dbus_create(const char *device, char *error, int *is_ours)
{
	(void)device;
	(void)error;
	*is_ours = 0;
	return NULL;
}
