// identity.h - authorities and certificates, made where they are needed.

#ifndef CAUDAL_TEST_IDENTITY_H
#define CAUDAL_TEST_IDENTITY_H

#include "lib/test.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

struct identity {
    EVP_PKEY *key;
    X509 *cert;
};

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *x = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    NEED(x && X509_add_ext(cert, x, -1));
    X509_EXTENSION_free(x);
}

static struct identity identity_make(const char *name, const char *alternatives,
                                     const struct identity *by)
{
    static long serial = 1;
    struct identity id = {.key = EVP_EC_gen("P-256"), .cert = X509_new()};
    NEED(id.key && id.cert);
    X509_set_version(id.cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(id.cert), serial++);
    X509_gmtime_adj(X509_getm_notBefore(id.cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(id.cert), 3600);
    X509_set_pubkey(id.cert, id.key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(id.cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(id.cert, X509_get_subject_name(by ? by->cert : id.cert));
    add_extension(id.cert, by ? by->cert : id.cert, NID_basic_constraints,
                  alternatives ? "critical,CA:FALSE" : "critical,CA:TRUE");
    if (alternatives)
        add_extension(id.cert, by ? by->cert : id.cert, NID_subject_alt_name, alternatives);
    NEED(X509_sign(id.cert, by ? by->key : id.key, EVP_sha256()));
    return id;
}

static void identity_free(struct identity *id)
{
    EVP_PKEY_free(id->key);
    X509_free(id->cert);
}

#endif
